//! A person leaves everywhere at once.

use shared::{access_token::Caller, problem::Unexpected};
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::event::Event,
    events,
    logout::SessionError,
    store::{
        accounts,
        sessions::{self, EndReason},
    },
};

/// Ends every session of the caller, this one too, and one that is being opened at this moment.
pub(crate) async fn logout_all(
    identity: &Identity,
    caller: &Caller,
    device: Device,
    now: OffsetDateTime,
) -> Result<(), SessionError> {
    let user = caller.user_id();
    let session = caller.session_id();
    if !sessions::is_alive(&*identity.pool.get().await?, session, user, now).await? {
        return Err(SessionError::Ended);
    }
    let sighting = Sighting::of(identity, user, device, now).await;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // Sessions before the account, as everywhere, so that nobody waits in a circle.
    let ended = sessions::end_all(&transaction, user, EndReason::LogoutAll, now).await?;
    if !ended.contains(&session) {
        return Err(SessionError::Ended);
    }
    // Catches a session that is being opened at this moment.
    accounts::raise_epoch(&transaction, user).await?;
    events::record(&transaction, &sighting, Event::LoggedOutEverywhere, now).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
