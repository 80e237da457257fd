//! A person sees what happened to their account.

use shared::access_token::Caller;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity,
    device::Device,
    domain::{event::Event, sealed::Column},
    logout::SessionError,
    person_key,
    store::{security_events, sessions},
};

/// One event. Personal data: no `Debug`.
pub(crate) struct Seen {
    pub(crate) id: Uuid,
    pub(crate) event: Event,
    pub(crate) at: OffsetDateTime,
    /// `None` when the vault was away at that moment, or what is stored does not open.
    pub(crate) device: Option<Device>,
}

/// Which part of the trail is wanted.
pub(crate) struct Wanted {
    /// Only what came before this event.
    pub(crate) after: Option<Uuid>,
    /// Events at most.
    pub(crate) limit: u32,
}

/// The caller's events, the newest first.
pub(crate) async fn list_security_events(
    identity: &Identity,
    caller: &Caller,
    wanted: &Wanted,
    now: OffsetDateTime,
) -> Result<Vec<Seen>, SessionError> {
    let user = caller.user_id();
    let noted = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(SessionError::Ended);
        }
        let before = wanted.after.unwrap_or(Uuid::max());
        security_events::page(&*db, user, before, wanted.limit).await?
    };
    let key = person_key::if_readable(identity, user, now).await?;
    let seen = noted.into_iter().map(|noted| Seen {
        id: noted.id,
        event: noted.event,
        at: noted.created_at,
        device: noted.device_sealed.and_then(|sealed| {
            Device::open(&sealed, key.as_ref()?, Column::EventDevice, user, noted.id)
        }),
    });
    Ok(seen.collect())
}
