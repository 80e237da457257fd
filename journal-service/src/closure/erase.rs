//! Everything that a person has here goes.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;

use crate::{
    Journal,
    store::{changes, closed_journals, idempotency_keys},
};

/// Closes the journal, if it is not, and deletes its rows. Safe to repeat: the second time nothing is left. Without its
/// keys nothing is stored in it any more, so that what it holds can go in steps, each of which stays done.
pub(crate) async fn erase(
    journal: &Journal,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await?;
    closed_journals::lock(&transaction, user).await?;
    closed_journals::close(&transaction, user, now).await?;
    closed_journals::erase_keys(&transaction, user, now).await?;
    changes::stop(&transaction, user).await?;
    transaction.commit().await?;
    drop(db);
    journal.vault.forget(user.uuid()).await;
    idempotency_keys::erase(&*journal.pool.get().await?, user).await?;
    let mut entries = 0;
    loop {
        let gone = closed_journals::erase_entries(&*journal.pool.get().await?, user).await?;
        if gone == 0 {
            break;
        }
        entries += gone;
    }
    while closed_journals::erase_rest(&*journal.pool.get().await?, user).await? > 0 {}
    // A migration that ran meanwhile may have begun to count what was still there.
    changes::stop(&*journal.pool.get().await?, user).await?;
    while changes::erase(&*journal.pool.get().await?, user).await? > 0 {}
    tracing::info!(user.id = %user, entries, "journal erased");
    Ok(())
}
