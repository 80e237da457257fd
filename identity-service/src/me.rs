//! What a person sees of their own account.

use shared::{access_token::Caller, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;

use crate::{
    Identity,
    domain::sealed::Column,
    logout::SessionError,
    store::{
        accounts::{self, Profile},
        sessions,
    },
};

/// The account in the clear. Personal data: no `Debug`.
pub(crate) struct Me {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) mfa_enabled: bool,
    pub(crate) created_at: OffsetDateTime,
}

/// The caller's account, while their session lasts.
pub(crate) async fn me(
    identity: &Identity,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Me, SessionError> {
    let user = caller.user_id();
    let profile = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(SessionError::Ended);
        }
        accounts::profile(&*db, user)
            .await?
            .ok_or(SessionError::Ended)?
    };
    let email = address(identity, &profile, now).await?;
    Ok(Me {
        id: user,
        email,
        mfa_enabled: profile.second_factor,
        created_at: profile.created_at,
    })
}

/// The address of an account, as its owner wrote it.
pub(crate) async fn address(
    identity: &Identity,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<String, Unexpected> {
    let subject = profile.key.user_id.uuid();
    let key = profile.key.open(identity, now).await?;
    let broken = || Unexpected::bug(format!("the address of account {subject} does not open"));
    let place = Column::AccountEmail.of(subject, subject);
    let email = key
        .open(&place, &profile.email_sealed)
        .map_err(|error| broken().caused_by(error))?;
    String::from_utf8(email.to_vec()).map_err(|_| broken())
}
