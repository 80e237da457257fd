//! The second factor, where the account has one: for what a stolen session and a stolen password together must not do.

use secrecy::SecretString;
use shared::{
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::Transaction;

use crate::{
    Identity,
    device::Sighting,
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    second_factor::{self, NotReady, Proof, Ready, Shown, UNREADABLE, WRONG_CODE, Wanted},
    store::second_factors,
};

/// Why it has not been shown.
#[derive(Debug, Error)]
pub(crate) enum NotShown {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("Send a code of the authenticator, or a recovery code, too.")]
    Required,
    #[error("The code is wrong, or it was used before.")]
    WrongCode,
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error("Use a recovery code.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

pub(crate) const SECOND_FACTOR_REQUIRED: Case = Case::new(
    403,
    "second_factor_required",
    "The account has a second factor, and it was not shown",
);

impl Failure for NotShown {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SECOND_FACTOR_REQUIRED,
        WRONG_CODE,
        UNREADABLE,
        TOO_MANY_ATTEMPTS,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Required => &SECOND_FACTOR_REQUIRED,
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

/// A second factor, when one was sent.
pub(crate) fn proof(
    code: Option<&SecretString>,
    recovery_code: Option<&SecretString>,
) -> Result<Option<Proof>, NotShown> {
    if code.is_none() && recovery_code.is_none() {
        return Ok(None);
    }
    let proof = Proof::parse(code, recovery_code).map_err(NotShown::Invalid)?;
    Ok(Some(proof))
}

/// What somebody sends who has no second factor makes no difference. Asks the vault, so it comes before the
/// transaction.
pub(crate) async fn prepare(
    identity: &Identity,
    user: UserId,
    proof: Option<Proof>,
    now: OffsetDateTime,
) -> Result<Option<Ready>, NotShown> {
    let Some(proof) = proof else { return Ok(None) };
    match second_factor::prepare(identity, user, Wanted::Confirmed, proof, now).await {
        Ok(ready) => Ok(Some(ready)),
        Err(NotReady::None) => Ok(None),
        Err(NotReady::Unreadable) => Err(NotShown::Unreadable),
        Err(NotReady::Unexpected(unexpected)) => Err(unexpected.into()),
    }
}

/// The account's second factor, as it is in this transaction, has to have been shown. When it was not, the transaction
/// has to be committed all the same: what was wrong has been counted.
pub(crate) async fn show(
    identity: &Identity,
    transaction: &Transaction<'_>,
    ready: Option<&Ready>,
    sighting: &Sighting,
    now: OffsetDateTime,
) -> Result<(), NotShown> {
    let Some(ready) = ready else {
        let factor = second_factors::find_and_lock(transaction, sighting.user).await?;
        return if factor.is_some_and(|factor| factor.confirmed) {
            Err(NotShown::Required)
        } else {
            Ok(())
        };
    };
    match ready.show(identity, transaction, sighting, now).await? {
        Shown::Right => Ok(()),
        Shown::Wrong => Err(NotShown::WrongCode),
        Shown::Locked(locked) => Err(NotShown::TooManyAttempts(locked)),
        // Replaced or removed at this moment.
        Shown::Gone => Err(NotShown::Required),
    }
}
