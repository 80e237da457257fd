//! The person stays after all.

use shared::{problem::Unexpected, user_id::UserId};

use super::refusals::{ClosureError, ReopenError};
use crate::{Journal, store::closed_journals};

/// Everything can be read and written again. A journal that is open stays so.
pub(crate) async fn reopen(journal: &Journal, user: UserId) -> Result<(), ReopenError> {
    let reopened = async {
        let db = journal.pool.get().await?;
        closed_journals::reopen(&*db, user).await
    };
    let reopened: Result<bool, Unexpected> = reopened.await;
    if !reopened.map_err(ClosureError::from)? {
        return Err(ReopenError::Erased);
    }
    tracing::info!(user.id = %user, "journal opened again");
    Ok(())
}
