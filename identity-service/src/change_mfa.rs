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
    lockout::TOO_MANY_ATTEMPTS,
    notices,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    recovery_codes,
    refresh::SESSION_ENDED,
    second_factor::{self, NOT_ENABLED, NotShown, Proof, UNREADABLE, WRONG_CODE, Wanted},
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
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error(transparent)]
    NotShown(#[from] NotShown),
}

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
            Self::NotProven(why) => why.case(),
            Self::NotShown(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotProven(why) => why.retry_after(),
            Self::NotShown(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::NotProven(_) => Vec::new(),
            Self::NotShown(why) => why.errors(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotProven(why) => why.unexpected(),
            Self::NotShown(why) => why.unexpected(),
        }
    }
}

impl From<Unexpected> for ChangeError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotShown(unexpected.into())
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
    let proof = Proof::parse(proofs.code.as_ref(), proofs.recovery_code.as_ref())?;
    reauthenticate(identity, caller, &proofs.password, &proofs.device, now).await?;
    let ready = second_factor::prepare(identity, user, Wanted::Confirmed, proof, now).await?;
    let sighting = Sighting::of(identity, user, proofs.device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = ready.show(identity, &transaction, &sighting, now).await;
    let mut codes = Vec::new();
    if shown.is_ok() {
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
    let concluded = second_factor::conclude(transaction, shown).await;
    identity.outbox_filled.notify_one();
    concluded?;
    Ok(codes)
}
