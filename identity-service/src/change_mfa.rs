//! A person who proves both factors changes the second one: removes it, or gets new recovery codes for it.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{event::Event, notice::Notice},
    events,
    hashing::OVERLOADED,
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    notices,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    recovery_codes,
    refresh::SESSION_ENDED,
    second_factor::{self, NotReady, Proof, Shown, UNREADABLE, WRONG_CODE, Wanted},
    store::{second_factors, sessions},
};

/// Both factors as they came.
pub(crate) struct Proofs {
    pub(crate) password: SecretString,
    pub(crate) code: Option<SecretString>,
    pub(crate) recovery_code: Option<SecretString>,
    pub(crate) device: Device,
}

#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error("There is no second factor.")]
    NotEnabled,
    #[error("The code is wrong, or it was used before.")]
    WrongCode,
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error("Use a recovery code.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const NOT_ENABLED: Case = Case::new(409, "mfa_not_enabled", "There is no second factor");

impl Failure for ChangeError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SESSION_ENDED,
        WRONG_PASSWORD,
        WRONG_CODE,
        NOT_ENABLED,
        UNREADABLE,
        TOO_MANY_ATTEMPTS,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotProven(why) => why.case(),
            Self::NotEnabled => &NOT_ENABLED,
            Self::WrongCode => &WRONG_CODE,
            Self::TooManyAttempts(locked) => locked.case(),
            Self::Unreadable => &UNREADABLE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotProven(why) => why.retry_after(),
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
            Self::NotProven(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<NotReady> for ChangeError {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::None => Self::NotEnabled,
            NotReady::Unreadable => Self::Unreadable,
            NotReady::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// Logging in needs the password alone from now on.
pub(crate) async fn disable_totp(
    identity: &Identity,
    caller: &Caller,
    proofs: Proofs,
    now: OffsetDateTime,
) -> Result<(), ChangeError> {
    change(identity, caller, proofs, Change::Disable, now).await?;
    Ok(())
}

/// Ten new recovery codes; those from before are void.
pub(crate) async fn replace_recovery_codes(
    identity: &Identity,
    caller: &Caller,
    proofs: Proofs,
    now: OffsetDateTime,
) -> Result<Vec<SecretString>, ChangeError> {
    change(identity, caller, proofs, Change::ReplaceRecoveryCodes, now).await
}

#[derive(Clone, Copy)]
enum Change {
    Disable,
    ReplaceRecoveryCodes,
}

/// Proves both factors, the code in the transaction of the change; the new recovery codes, if there are any.
async fn change(
    identity: &Identity,
    caller: &Caller,
    proofs: Proofs,
    change: Change,
    now: OffsetDateTime,
) -> Result<Vec<SecretString>, ChangeError> {
    let user = caller.user_id();
    let proof = Proof::parse(proofs.code.as_ref(), proofs.recovery_code.as_ref())
        .map_err(ChangeError::Invalid)?;
    reauthenticate(identity, caller, &proofs.password, &proofs.device, now).await?;
    let ready = second_factor::prepare(identity, user, Wanted::Confirmed, proof, now).await?;
    let sighting = Sighting::of(identity, user, proofs.device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = ready.show(identity, &transaction, &sighting, now).await?;
    let mut codes = Vec::new();
    if let Shown::Right = shown {
        // Unless its owner has ended the caller's session meanwhile.
        let session = sessions::find_and_lock(&transaction, caller.session_id()).await?;
        session.ok_or(NotProven::Ended)?;
        let (event, notice) = match change {
            Change::Disable => {
                second_factors::remove(&transaction, user).await?;
                (Event::MfaDisabled, Notice::MfaDisabled)
            }
            Change::ReplaceRecoveryCodes => {
                codes = recovery_codes::replace(identity, &transaction, user).await?;
                (Event::RecoveryCodesReplaced, Notice::RecoveryCodesReplaced)
            }
        };
        events::record(&transaction, &sighting, event, now).await?;
        notices::queue(&transaction, &sighting, notice, now).await?;
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    identity.outbox_filled.notify_one();
    match shown {
        Shown::Right => Ok(codes),
        Shown::Wrong => Err(ChangeError::WrongCode),
        Shown::Locked(locked) => Err(ChangeError::TooManyAttempts(locked)),
        Shown::Gone => Err(ChangeError::NotEnabled),
    }
}
