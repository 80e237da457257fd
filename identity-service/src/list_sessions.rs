//! A person sees where they are logged in.

use shared::access_token::Caller;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity,
    device::Device,
    domain::sealed::Column,
    logout::SessionError,
    person_key,
    store::sessions::{self, Listed},
};

/// One session that goes on. Personal data: no `Debug`.
pub(crate) struct OpenSession {
    pub(crate) id: Uuid,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_used_at: OffsetDateTime,
    /// `None` when the vault was away at the login, or what is stored does not open.
    pub(crate) device: Option<Device>,
    /// The one that asks.
    pub(crate) current: bool,
}

/// The caller's sessions, the one last used first.
pub(crate) async fn list_sessions(
    identity: &Identity,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Vec<OpenSession>, SessionError> {
    let user = caller.user_id();
    let listed = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(SessionError::Ended);
        }
        sessions::list(&*db, user, now - identity.sessions.idle, now).await?
    };
    let key = person_key::if_readable(identity, user, now).await?;
    let open = |session: Listed| OpenSession {
        id: session.id,
        created_at: session.created_at,
        last_used_at: session.last_used_at,
        device: session.device_sealed.and_then(|sealed| {
            Device::open(
                &sealed,
                key.as_ref()?,
                Column::SessionDevice,
                user,
                session.id,
            )
        }),
        current: session.id == caller.session_id(),
    };
    Ok(listed.into_iter().map(open).collect())
}
