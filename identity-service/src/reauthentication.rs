//! A person who is logged in proves again that it is them, before something that a stolen session must not do.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{event::Event, lockout::Bucket, password::Password},
    events,
    hashing::{OVERLOADED, Overloaded},
    lockout::{self, Locked, NotAdmitted, TOO_MANY_ATTEMPTS},
    login::compare,
    refresh::SESSION_ENDED,
    store::{
        accounts::{self, Credentials},
        sessions,
    },
};

/// 403 and not 401: the access token is good, and a client that refreshed it and tried again would not get further.
pub(crate) const WRONG_PASSWORD: Case = Case::new(403, "wrong_password", "The password is wrong");

/// Why it is not proven.
#[derive(Debug, Error)]
pub(crate) enum NotProven {
    /// The session of the access token has ended.
    #[error("Log in again.")]
    Ended,
    #[error("The password is wrong.")]
    WrongPassword,
    /// The session showed wrong passwords before. Nothing was compared.
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for NotProven {
    const CASES: &'static [Case] = &[
        SESSION_ENDED,
        WRONG_PASSWORD,
        TOO_MANY_ATTEMPTS,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Ended => &SESSION_ENDED,
            Self::WrongPassword => &WRONG_PASSWORD,
            Self::TooManyAttempts(locked) => locked.case(),
            Self::Overloaded(overloaded) => overloaded.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooManyAttempts(locked) => locked.retry_after(),
            Self::Overloaded(overloaded) => overloaded.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// Compares the caller's password, after counting the attempt; the account as it was then. A wrong one is put into the
/// person's trail.
pub(crate) async fn reauthenticate(
    identity: &Identity,
    caller: &Caller,
    password: &SecretString,
    device: &Device,
    now: OffsetDateTime,
) -> Result<Credentials, NotProven> {
    let (user, session) = (caller.user_id(), caller.session_id());
    let credentials = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, session, user, now).await? {
            return Err(NotProven::Ended);
        }
        // Deleted since: no password would be the right one.
        let credentials = accounts::credentials_of(&*db, user).await?;
        credentials.ok_or(NotProven::Ended)?
    };
    let bucket = Bucket::session(&identity.secrets, user, session);
    lockout::admit(identity, &bucket, now).await?;
    match compare(identity, Password::presented(password), Some(credentials)).await {
        Ok(Some((credentials, _))) => {
            lockout::clear(identity, &bucket).await;
            Ok(credentials)
        }
        Ok(None) => {
            let sighting = Sighting::of(identity, user, device.clone(), now).await;
            let (db, event) = (identity.pool.get().await?, Event::ReauthenticationFailed);
            events::record(&*db, &sighting, event, now).await?;
            Err(NotProven::WrongPassword)
        }
        Err(overloaded) => {
            lockout::take_back(identity, &bucket).await;
            Err(NotProven::Overloaded(overloaded))
        }
    }
}

impl From<NotAdmitted> for NotProven {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Locked(locked) => Self::TooManyAttempts(locked),
            NotAdmitted::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}
