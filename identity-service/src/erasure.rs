//! Deleting an account, and undoing it while there is time: for its person, and for an operator.
//!
//! It begins with one transaction, from which on nobody finds or uses the account; `worker::erasures` does the rest.

use shared::{problem::Unexpected, random, user_id::UserId};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Transaction;

use crate::{
    Identity,
    domain::{
        email_address::EmailAddress,
        erasure::{Erasure, Stage},
    },
    me,
    store::{
        accounts, erasures,
        sessions::{self, EndReason},
    },
    vault_shred,
};

/// Begins to delete an account whose sessions this transaction has ended: its address is free, and no path leads to it
/// any more. `None` when there is no such account, or its deletion has begun before. Once the transaction is committed,
/// ring [`Identity::erasure_begun`].
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
    // Sessions before the account, as everywhere, so that nobody waits in a circle.
    sessions::end_all(&transaction, user, EndReason::AccountDeleted, now).await?;
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

/// How long undoing may take until the worker closes everything again.
const UNDOING: Duration = Duration::minutes(1);

/// Undoes a deletion everywhere. The row is locked all the while, so that the worker takes no step meanwhile; if this
/// fails on the way, the deletion goes on, and what was opened is closed again in about a minute.
pub(crate) async fn undo(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), NotUndone> {
    let mut db = identity.pool.get_for_long().await?;
    erasures::step_back(&*db, user, now + UNDOING, now).await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let erasure = erasures::lock_of(&transaction, user).await?;
    let erasure = erasure.ok_or(NotUndone::NotBegun)?;
    if !erasure.is_undoable(now) {
        return Err(NotUndone::TooLate);
    }
    if !vault_shred::restore(&identity.vault, user, now).await? {
        return Err(NotUndone::TooLate);
    }
    find_address_free(identity, &transaction, user, now).await?;
    erasures::undo(&transaction, &erasure).await?;
    if let Some(journal) = &identity.journal
        && !journal.reopen(user, now).await?
    {
        return Err(NotUndone::TooLate);
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    tracing::info!(target: "audit", { user.id = %user, erasure.id = %erasure.id }, "deletion undone");
    Ok(())
}

/// Locks the address of the account, under every version of its index, as whoever signs up with it does.
async fn find_address_free(
    identity: &Identity,
    transaction: &Transaction<'_>,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), NotUndone> {
    let profile = accounts::profile_of_any(transaction, user).await?;
    let profile = profile.ok_or(NotUndone::NotBegun)?;
    let address = EmailAddress::parse(&me::address(identity, &profile, now).await?);
    let address = address.ok_or_else(|| Unexpected::bug("the address of an account is none"))?;
    let indexes = identity.secrets.email_indexes(&address);
    accounts::lock_address(transaction, &indexes).await?;
    if accounts::exists(transaction, &indexes).await? {
        return Err(NotUndone::AddressTaken);
    }
    Ok(())
}
