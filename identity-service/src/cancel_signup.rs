//! "This was not me": the reader of a confirmation mail discards the sign-up behind it.

use shared::problem::Unexpected;
use time::OffsetDateTime;

use crate::{Identity, domain::mail_token::MailToken, store::pending_signups};

/// Discards the sign-up of that token; there is nothing to tell when there is none.
pub(crate) async fn cancel_signup(
    identity: &Identity,
    token: MailToken,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let db = identity.pool.get().await?;
    let Some(pending) = pending_signups::find_by_token(&*db, &token.hash(), now).await? else {
        return Ok(());
    };
    if pending_signups::take(&*db, pending.id).await? {
        tracing::info!(pending.id = %pending.id, "cancelled by the reader of its mail");
    }
    Ok(())
}
