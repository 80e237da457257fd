//! Works off deletions, step by step, until each is done: through restarts, and while the vault or the journal is away.

use std::sync::Arc;

use shared::{problem::Unexpected, serve::Shutdown};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Transaction;

use super::goes_on;
use crate::{
    Identity,
    domain::erasure::{Erasure, Step},
    mail::Errand,
    me, outbox_key,
    store::{accounts, erasures, outbox},
    vault_shred::shred,
};

/// Works until the shutdown is requested; a step that was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    let bell = &identity.erasure_begun;
    // A start may be one after a restore: whoever was erased is looked at again.
    let mut rechecked = false;
    loop {
        let now = identity.clock.now();
        let worked = async {
            if !rechecked {
                erasures::recheck_all(&*identity.pool.get().await?, now).await?;
                rechecked = true;
            }
            one(&identity, now).await
        };
        if !goes_on(worked.await, "deletions wait", bell, &mut shutdown).await {
            return;
        }
    }
}

/// Takes one step of one deletion; `false` when none is due. Its row is locked meanwhile: of all replicas one works on
/// it, and whoever undoes it waits for the step to end.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let mut db = identity.pool.get_for_long().await?;
    let transaction = db.transaction().await?;
    let Some(erasure) = erasures::lock_due(&transaction, now).await? else {
        return Ok(false);
    };
    let (user, step) = (erasure.user_id, erasure.next_step(now));
    match take(identity, &transaction, &erasure, step, now).await {
        Ok(due_at) => {
            erasures::put_off(&transaction, erasure.id, due_at, 0).await?;
            transaction.commit().await?;
            tracing::info!(user.id = %user, erasure.id = %erasure.id, ?step, "deletion goes on");
            identity.outbox_filled.notify_one();
        }
        Err(error) => {
            tracing::warn!(user.id = %user, erasure.id = %erasure.id, ?step, error = error.chain(), "deletion waits");
            // Nothing more can be noted in a transaction that failed.
            transaction.rollback().await?;
            let due_at = erasure.try_again_at(now);
            let attempts = erasure.attempts.saturating_add(1);
            erasures::put_off(&*db, erasure.id, Some(due_at), attempts).await?;
        }
    }
    Ok(true)
}

/// When the next step is due. Every step may be taken twice: the commit that notes it may be lost.
async fn take(
    identity: &Identity,
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    step: Step,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, Unexpected> {
    let (id, user) = (erasure.id, erasure.user_id);
    match step {
        Step::TellOwner => {
            tell_owner(identity, transaction, erasure, now).await?;
            erasures::note_owner_told(transaction, id, now).await?;
        }
        Step::AskForShred => {
            let asked = shred(&identity.vault, user, erasure.purge_at - now, now).await?;
            identity.vault.forget(user.uuid()).await;
            erasures::note_shred(transaction, id, asked.shred_id).await?;
        }
        Step::CloseOthers => {
            if let Some(journal) = &identity.journal {
                journal.close(user, now).await?;
            }
            erasures::note_others_closed(transaction, id, now).await?;
        }
        Step::WaitUntil(moment) => return Ok(Some(moment)),
        Step::Purge => purge(identity, transaction, erasure, now).await?,
        Step::DeleteRows => {
            erase_elsewhere(identity, erasure, now).await?;
            erasures::delete_rows(transaction, erasure, now).await?;
            return Ok(erasure.recheck_at(now));
        }
        Step::Recheck => {
            purge(identity, transaction, erasure, now).await?;
            erase_elsewhere(identity, erasure, now).await?;
            return Ok(erasure.recheck_at(now));
        }
    }
    Ok(Some(now))
}

/// No wait is left: the vault destroys the key, or says again that it has. One whose database was restored from before
/// the shred does it anew.
async fn purge(
    identity: &Identity,
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let ended = shred(&identity.vault, erasure.user_id, Duration::ZERO, now).await?;
    let receipt = ended
        .receipt
        .ok_or_else(|| Unexpected::bug("a shred without a wait has no receipt"))?;
    erasures::note_shred(transaction, erasure.id, ended.shred_id).await?;
    erasures::note_receipt(transaction, erasure.id, &receipt).await
}

async fn erase_elsewhere(
    identity: &Identity,
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    match &identity.journal {
        Some(journal) => journal.erase(erasure.user_id, now).await,
        None => Ok(()),
    }
}

/// Leaves the mail in the outbox, with the address, which only opens now. An address that does not open keeps nobody
/// from being deleted.
async fn tell_owner(
    identity: &Identity,
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let Some(email) = address(identity, transaction, erasure, now).await? else {
        tracing::warn!(user.id = %erasure.user_id, "the address does not open: the owner is not told");
        return Ok(());
    };
    let errand = Errand::AccountDeleted {
        email,
        requested_at: erasure.requested_at,
        purge_at: erasure.purge_at,
    };
    let key = outbox_key::opened(identity, now).await?;
    outbox::insert(transaction, &errand.sealed(&key, now)).await
}

async fn address(
    identity: &Identity,
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<Option<String>, Unexpected> {
    match accounts::profile_of_any(transaction, erasure.user_id).await? {
        Some(profile) => me::address_if_readable(identity, &profile, now).await,
        None => Ok(None),
    }
}
