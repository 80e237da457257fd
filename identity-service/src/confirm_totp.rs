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
    lockout::TOO_MANY_ATTEMPTS,
    notices, recovery_codes,
    refresh::SESSION_ENDED,
    second_factor::{self, NotShown, Proof, UNREADABLE, WRONG_CODE, Wanted},
    store::{second_factors, sessions},
};

/// How long an offered secret can be confirmed.
pub(crate) const OFFERED: Duration = Duration::hours(1);

#[derive(Debug, Error)]
pub(crate) enum ConfirmError {
    #[error("Log in again.")]
    Ended,
    /// None was offered, it was confirmed already, or it is too old.
    #[error("Set up the authenticator first.")]
    NotOffered,
    #[error(transparent)]
    NotShown(NotShown),
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
            Self::Ended => &SESSION_ENDED,
            Self::NotOffered => &NOT_OFFERED,
            Self::NotShown(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Ended | Self::NotOffered => None,
            Self::NotShown(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Ended | Self::NotOffered => Vec::new(),
            Self::NotShown(why) => why.errors(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Ended | Self::NotOffered => None,
            Self::NotShown(why) => why.unexpected(),
        }
    }
}

impl From<NotShown> for ConfirmError {
    fn from(why: NotShown) -> Self {
        match why {
            NotShown::Absent => Self::NotOffered,
            why => Self::NotShown(why),
        }
    }
}

impl From<Unexpected> for ConfirmError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotShown(unexpected.into())
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
    let proof = Proof::totp(code)?;
    let session = caller.session_id();
    if !sessions::is_alive(&*identity.pool.get().await?, session, user, now).await? {
        return Err(ConfirmError::Ended);
    }
    let wanted = Wanted::OfferedSince(now - OFFERED);
    let ready = second_factor::prepare(identity, user, wanted, proof, now).await?;
    let sighting = Sighting::of(identity, user, device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = ready.show(identity, &transaction, &sighting, now).await;
    let mut codes = Vec::new();
    if shown.is_ok() {
        // Unless its owner has ended the caller's session meanwhile.
        let going_on = sessions::find_and_lock(&transaction, session).await?;
        going_on.ok_or(ConfirmError::Ended)?;
        second_factors::confirm(&transaction, ready.factor_id(), now).await?;
        codes = recovery_codes::replace(identity, &transaction, user).await?;
        events::record(&transaction, &sighting, Event::MfaEnabled, now).await?;
        notices::queue(&transaction, &sighting, Notice::MfaEnabled, now).await?;
    }
    let concluded = second_factor::conclude(transaction, shown).await;
    identity.outbox_filled.notify_one();
    concluded?;
    Ok(codes)
}
