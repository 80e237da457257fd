//! A person shows the first code of their new authenticator: logging in needs it from now on.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{event::Event, notice::Notice},
    events,
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    notices, recovery_codes,
    refresh::SESSION_ENDED,
    second_factor::{self, NotReady, Proof, Shown, UNREADABLE, WRONG_CODE, Wanted},
    store::{second_factors, sessions},
};

/// How long an offered secret can be confirmed.
pub(crate) const OFFERED: Duration = Duration::hours(1);

#[derive(Debug, Error)]
pub(crate) enum ConfirmError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("Log in again.")]
    Ended,
    /// None was offered, it was confirmed already, or it is too old.
    #[error("Set up the authenticator first.")]
    NotOffered,
    #[error("The code is wrong, or it was used before.")]
    WrongCode,
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error("Set up the authenticator again.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const NOT_OFFERED: Case = Case::new(
    409,
    "no_enrolment",
    "There is no authenticator to be confirmed",
);

impl Failure for ConfirmError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SESSION_ENDED,
        WRONG_CODE,
        NOT_OFFERED,
        UNREADABLE,
        TOO_MANY_ATTEMPTS,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Ended => &SESSION_ENDED,
            Self::NotOffered => &NOT_OFFERED,
            Self::WrongCode => &WRONG_CODE,
            Self::TooManyAttempts(locked) => locked.case(),
            Self::Unreadable => &UNREADABLE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooManyAttempts(locked) => locked.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(error) => vec![error.clone()],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<NotReady> for ConfirmError {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::None => Self::NotOffered,
            NotReady::Unreadable => Self::Unreadable,
            NotReady::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// Turns the second factor on, and gives the recovery codes for it.
pub(crate) async fn confirm_totp(
    identity: &Identity,
    caller: &Caller,
    code: &SecretString,
    device: Device,
    now: OffsetDateTime,
) -> Result<Vec<SecretString>, ConfirmError> {
    let user = caller.user_id();
    let proof = Proof::totp(code).map_err(ConfirmError::Invalid)?;
    let session = caller.session_id();
    if !sessions::is_alive(&*identity.pool.get().await?, session, user, now).await? {
        return Err(ConfirmError::Ended);
    }
    let wanted = Wanted::OfferedSince(now - OFFERED);
    let ready = second_factor::prepare(identity, user, wanted, proof, now).await?;
    let sighting = Sighting::of(identity, user, device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = ready.show(identity, &transaction, &sighting, now).await?;
    let mut codes = Vec::new();
    if let Shown::Right = shown {
        // Unless its owner has ended the caller's session meanwhile.
        let going_on = sessions::find_and_lock(&transaction, session).await?;
        going_on.ok_or(ConfirmError::Ended)?;
        second_factors::confirm(&transaction, ready.factor_id(), now).await?;
        codes = recovery_codes::replace(identity, &transaction, user).await?;
        events::record(&transaction, &sighting, Event::MfaEnabled, now).await?;
        notices::queue(&transaction, &sighting, Notice::MfaEnabled, now).await?;
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    identity.outbox_filled.notify_one();
    match shown {
        Shown::Right => Ok(codes),
        Shown::Wrong => Err(ConfirmError::WrongCode),
        Shown::Locked(locked) => Err(ConfirmError::TooManyAttempts(locked)),
        Shown::Gone => Err(ConfirmError::NotOffered),
    }
}
