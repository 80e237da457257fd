//! A person leaves on one device.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    refresh::SESSION_ENDED,
    store::sessions::{self, EndReason},
};

/// Why an access token that is good by itself is not enough here.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("Log in again.")]
    Ended,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for SessionError {
    const CASES: &'static [Case] = &[SESSION_ENDED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Ended => &SESSION_ENDED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Ended => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Ends the caller's session: its refresh token fails from now on.
pub(crate) async fn logout(
    identity: &Identity,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<(), SessionError> {
    let db = identity.pool.get().await?;
    let session = caller.session_id();
    let alive = sessions::is_alive(&*db, session, caller.user_id(), now).await?;
    // The second of two at once finds it ended.
    if alive && sessions::end(&*db, session, EndReason::Logout, now).await? {
        return Ok(());
    }
    Err(SessionError::Ended)
}
