//! Everything that a person has here goes.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;

use crate::{Journal, store::closed_journals};

/// Closes the journal, if it is not, and deletes its rows. Safe to repeat: the second time nothing is left.
pub(crate) async fn erase(
    journal: &Journal,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await?;
    closed_journals::lock(&transaction, user).await?;
    closed_journals::close(&transaction, user, now).await?;
    let entries = closed_journals::erase(&transaction, user, now).await?;
    transaction.commit().await?;
    journal.vault.forget(user.uuid()).await;
    tracing::info!(user.id = %user, entries, "journal erased");
    Ok(())
}
