//! A person leaves on one device.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::event::Event,
    events,
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
    device: Device,
    now: OffsetDateTime,
) -> Result<(), SessionError> {
    let user = caller.user_id();
    let session = caller.session_id();
    let sighting = Sighting::of(identity, user, device, now).await;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let alive = sessions::is_alive(&transaction, session, user, now).await?;
    // The second of two at once finds it ended.
    if !alive || !sessions::end(&transaction, session, EndReason::Logout, now).await? {
        return Err(SessionError::Ended);
    }
    events::record(&transaction, &sighting, Event::LoggedOut, now).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
