//! A person ends one of their sessions from another: the telephone that is lost.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::event::Event,
    events,
    refresh::SESSION_ENDED,
    store::sessions::{self, EndReason},
};

#[derive(Debug, Error)]
pub(crate) enum EndError {
    #[error("Log in again.")]
    Ended,
    /// Unknown, over, or another person's: the same.
    #[error("You have no such session.")]
    NotFound,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const NOT_FOUND: Case = Case::new(404, "session_not_found", "There is no such session");

impl Failure for EndError {
    const CASES: &'static [Case] = &[SESSION_ENDED, NOT_FOUND, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Ended => &SESSION_ENDED,
            Self::NotFound => &NOT_FOUND,
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

/// Ends the caller's session of that id: its refresh token fails from now on.
pub(crate) async fn end_session(
    identity: &Identity,
    caller: &Caller,
    id: Uuid,
    device: Device,
    now: OffsetDateTime,
) -> Result<(), EndError> {
    let user = caller.user_id();
    {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(EndError::Ended);
        }
        if !sessions::is_alive(&*db, id, user, now).await? {
            return Err(EndError::NotFound);
        }
    }
    let sighting = Sighting::of(identity, user, device, now).await;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // The second of two at once finds it ended.
    if !sessions::end(&transaction, id, EndReason::Revoked, now).await? {
        return Err(EndError::NotFound);
    }
    events::record(&transaction, &sighting, Event::SessionEnded, now).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
