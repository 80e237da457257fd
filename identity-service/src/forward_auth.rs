//! A proxy asks about every request whether its sender may pass.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    refresh::{SESSION_ENDED, WRONG_TYPE},
    store::sessions,
};

/// Why a request must not pass whose token is good by itself.
#[derive(Debug, Error)]
pub(crate) enum ForwardAuthError {
    #[error("A browser session does not pass here: log in for a session without cookies.")]
    BrowserSession,
    #[error("Log in again.")]
    Ended,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ForwardAuthError {
    const CASES: &'static [Case] = &[WRONG_TYPE, SESSION_ENDED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::BrowserSession => &WRONG_TYPE,
            Self::Ended => &SESSION_ENDED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// Lets pass whose session and account still go on. Asked anew each time, so that nobody who was logged out
/// passes: two look-ups by primary key.
///
/// The token of a browser session does not count: what the proxy asks is always a `GET`, so the CSRF token that the
/// request itself would need is never looked at.
pub(crate) async fn forward_auth(
    identity: &Identity,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<(), ForwardAuthError> {
    if caller.claims().csrf.is_some() {
        return Err(ForwardAuthError::BrowserSession);
    }
    let db = identity.pool.get().await?;
    if sessions::is_alive(&*db, caller.session_id(), caller.user_id(), now).await? {
        Ok(())
    } else {
        Err(ForwardAuthError::Ended)
    }
}
