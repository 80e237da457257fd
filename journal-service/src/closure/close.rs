//! Nothing of this person is read or written any more.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;

use crate::{Journal, store::closed_journals};

/// Every replica sees it with the next request; the open key is wiped here at once, and by the others when its five
/// minutes are over.
pub(crate) async fn close(
    journal: &Journal,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await?;
    closed_journals::lock(&transaction, user).await?;
    closed_journals::close(&transaction, user, now).await?;
    transaction.commit().await?;
    journal.vault.forget(user.uuid()).await;
    tracing::info!(user.id = %user, "journal closed");
    Ok(())
}
