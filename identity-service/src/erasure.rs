//! Deleting an account, and undoing it while there is time: for its person, and for an operator.
//!
//! It begins with one transaction, from which on nobody finds or uses the account; `worker::erasures` does the rest.

use shared::{problem::Unexpected, random, user_id::UserId};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::Transaction;

use crate::{
    Identity,
    domain::erasure::{Erasure, Stage},
    journal_client::NotReopened,
    store::{
        erasures,
        sessions::{self, EndReason},
    },
    vault_shred::{self, NotRestored},
};

/// Begins to delete the account: its sessions end, its address is free, and no path leads to it any more. `None` when
/// there is no such account, or its deletion has begun before. Once the transaction is committed, ring
/// [`Identity::erasure_begun`].
pub(crate) async fn begin(
    identity: &Identity,
    transaction: &Transaction<'_>,
    user_id: UserId,
    now: OffsetDateTime,
) -> Result<Option<Erasure>, Unexpected> {
    let (purge_at, total_by) = identity.erasure_terms.dates(now);
    let erasure = Erasure {
        id: random::uuid_v7(now),
        user_id,
        requested_at: now,
        purge_at,
        total_by,
        stage: Stage::Begun,
        attempts: 0,
    };
    // Sessions before the account, as everywhere, so that nobody waits in a circle.
    sessions::end_all(transaction, user_id, EndReason::AccountDeleted, now).await?;
    let begun = erasures::begin(transaction, &erasure).await?;
    if begun {
        let erasure_id = erasure.id;
        tracing::info!(target: "audit", { user.id = %user_id, erasure.id = %erasure_id, %purge_at, %total_by }, "deletion begun");
    }
    Ok(begun.then_some(erasure))
}

/// An old backup has brought an account back whose key the vault has shredded: nothing in it opens, and its deletion
/// goes on from where the record of it was lost.
pub(crate) async fn begin_again(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    if begin(identity, &transaction, user, now).await?.is_some() {
        transaction.commit().await?;
        identity.erasure_begun.notify_one();
        tracing::warn!(user.id = %user, "an account whose key is shredded came back: it is deleted again");
    }
    Ok(())
}

/// Why a deletion was not undone.
#[derive(Debug, Error)]
pub(crate) enum NotUndone {
    #[error("no deletion of this account has begun")]
    NotBegun,
    #[error("the time in which it could be undone is over")]
    TooLate,
    #[error("its address has a new account, which would have to be deleted first")]
    AddressTaken,
    #[error("{}", .0.chain())]
    Unexpected(#[from] Unexpected),
}

/// Undoes a deletion everywhere. The row is locked all the while, so that the worker takes no step meanwhile; if this
/// fails on the way, the deletion goes on.
pub(crate) async fn undo(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), NotUndone> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let erasure = erasures::lock_of(&transaction, user).await?;
    let erasure = erasure.ok_or(NotUndone::NotBegun)?;
    if !erasure.is_undoable(now) {
        return Err(NotUndone::TooLate);
    }
    if !erasures::undo(&transaction, &erasure).await? {
        return Err(NotUndone::AddressTaken);
    }
    vault_shred::restore(&identity.vault, user, now)
        .await
        .map_err(|why| match why {
            NotRestored::Shredded => NotUndone::TooLate,
            NotRestored::Unexpected(unexpected) => unexpected.into(),
        })?;
    if let Some(journal) = &identity.journal {
        journal.reopen(user, now).await.map_err(|why| match why {
            NotReopened::Erased => NotUndone::TooLate,
            NotReopened::Unexpected(unexpected) => unexpected.into(),
        })?;
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    tracing::info!(target: "audit", { user.id = %user, erasure.id = %erasure.id }, "deletion undone");
    Ok(())
}
