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
    if pending_signups::take(&*db, &token.hash(), now).await? {
        tracing::info!("a sign-up was cancelled by the reader of its mail");
    }
    Ok(())
}
