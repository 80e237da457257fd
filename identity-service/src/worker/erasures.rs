//! Works off deletions, step by step, until each is done: through restarts, and while the vault or the journal is away.

use std::{sync::Arc, time::Duration as Pause};

use shared::{problem::Unexpected, serve::Shutdown, vault_client::VaultError};
use time::{Duration, OffsetDateTime};
use tokio::time::{sleep, timeout};
use tokio_postgres::Transaction;

use crate::{
    Identity,
    domain::{
        erasure::{Erasure, Step},
        sealed::Column,
    },
    mail::Errand,
    outbox_key,
    store::{accounts, erasures, outbox},
    vault_shred::shred,
};

/// How often it is looked whether a step is due, when nobody rings.
const EVERY: Pause = Pause::from_secs(2);

/// What a step may take: less than a connection is lent for, so that a neighbour who says nothing counts as a step that
/// failed, and the next deletion has its turn.
const PATIENCE: Pause = Pause::from_secs(4);

/// Works until the shutdown is requested; a step that was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    let mut rechecked = false;
    loop {
        let now = identity.clock.now();
        if !rechecked {
            rechecked = recheck_all(&identity, now).await;
        }
        let more = one(&identity, now).await.unwrap_or_else(|error| {
            tracing::warn!(error = error.chain(), "deletions wait");
            false
        });
        let pause = if more { Pause::ZERO } else { EVERY };
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = identity.erasure_begun.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// A start may be one after a restore: whoever was erased is looked at first.
async fn recheck_all(identity: &Identity, now: OffsetDateTime) -> bool {
    let done = async { erasures::recheck_all(&*identity.pool.get().await?, now).await };
    let done: Result<(), Unexpected> = done.await;
    done.inspect_err(|error| tracing::warn!(error = error.chain(), "deletions are not rechecked"))
        .is_ok()
}

/// Takes one step of one deletion; `false` when none is due. Its row is locked meanwhile: of all replicas one works on
/// it, and whoever undoes it waits for the step to end.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    let Some(erasure) = erasures::lock_due(&transaction, now).await? else {
        return Ok(false);
    };
    let (user, step) = (erasure.user_id, erasure.next_step(now));
    let taken = timeout(PATIENCE, take(identity, &transaction, &erasure, step, now)).await;
    let taken =
        taken.unwrap_or_else(|_| Err(Unexpected::unavailable("a step of a deletion", EVERY)));
    let (due_at, attempts) = match taken {
        Ok(due_at) => {
            tracing::info!(user.id = %user, erasure.id = %erasure.id, ?step, "deletion goes on");
            (due_at, 0)
        }
        Err(error) => {
            let due_at = erasure.try_again_at(now);
            tracing::warn!(user.id = %user, erasure.id = %erasure.id, ?step, error = error.chain(), "deletion waits");
            (Some(due_at), erasure.attempts.saturating_add(1))
        }
    };
    erasures::put_off(&transaction, erasure.id, due_at, attempts).await?;
    transaction.commit().await?;
    identity.outbox_filled.notify_one();
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
    let Some(email) = address(identity, erasure, now).await? else {
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
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<Option<String>, Unexpected> {
    let user = erasure.user_id;
    let (sealed, key) = {
        let db = identity.pool.get().await?;
        let sealed = accounts::email_sealed(&*db, user).await?;
        (sealed, accounts::key(&*db, user).await?)
    };
    let (Some(sealed), Some(key)) = (sealed, key) else {
        return Ok(None);
    };
    let key = match key.ask_for(identity, now).await {
        Ok(key) => key,
        Err(VaultError::Refused(_)) => return Ok(None),
        Err(VaultError::Unavailable(error)) => return Err(error),
    };
    let place = Column::AccountEmail.of(user.uuid(), user.uuid());
    let email = key.open(&place, &sealed).ok();
    Ok(email.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()))
}
