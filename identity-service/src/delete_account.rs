//! A person leaves for good: they prove once more that it is them, and from then on there is no way into the account.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::Transaction;

use crate::{
    Identity,
    change_mfa::Proofs,
    device::Sighting,
    domain::{erasure::Erasure, event::Event},
    erasure, events,
    hashing::OVERLOADED,
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    second_factor::{self, NotReady, Proof, Ready, Shown, UNREADABLE, WRONG_CODE, Wanted},
    store::{
        second_factors,
        sessions::{self, EndReason},
    },
};

#[derive(Debug, Error)]
pub(crate) enum DeleteError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error("Send a code of the authenticator, or a recovery code, too.")]
    SecondFactorRequired,
    #[error("The code is wrong, or it was used before.")]
    WrongCode,
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error("Use a recovery code.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const SECOND_FACTOR_REQUIRED: Case = Case::new(
    403,
    "second_factor_required",
    "The account has a second factor, and it was not shown",
);

impl Failure for DeleteError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SESSION_ENDED,
        WRONG_PASSWORD,
        SECOND_FACTOR_REQUIRED,
        WRONG_CODE,
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
            Self::SecondFactorRequired => &SECOND_FACTOR_REQUIRED,
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

/// Begins the deletion of the caller's account.
pub(crate) async fn delete_account(
    identity: &Identity,
    caller: &Caller,
    proofs: Proofs,
    now: OffsetDateTime,
) -> Result<Erasure, DeleteError> {
    let user = caller.user_id();
    let proof = proof(&proofs)?;
    reauthenticate(identity, caller, &proofs.password, &proofs.device, now).await?;
    let ready = match proof {
        Some(proof) => prepare(identity, caller, proof, now).await?,
        None => None,
    };
    let sighting = Sighting::of(identity, user, proofs.device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    if let Err(refused) = show(identity, &transaction, ready.as_ref(), &sighting, now).await {
        // What was wrong has been counted.
        transaction.commit().await.map_err(Unexpected::from)?;
        identity.outbox_filled.notify_one();
        return Err(refused);
    }
    // Sessions before the account, as everywhere. The caller's is among them, unless its owner has ended it meanwhile.
    let ended = sessions::end_all(&transaction, user, EndReason::AccountDeleted, now).await?;
    if !ended.contains(&caller.session_id()) {
        return Err(NotProven::Ended.into());
    }
    let begun = erasure::begin(identity, &transaction, user, now).await?;
    // The second of two at once finds it deleted.
    let begun = begun.ok_or(NotProven::Ended)?;
    events::record(&transaction, &sighting, Event::AccountDeleted, now).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    identity.erasure_begun.notify_one();
    Ok(begun)
}

/// A second factor, when one was sent.
fn proof(proofs: &Proofs) -> Result<Option<Proof>, DeleteError> {
    let (code, recovery_code) = (proofs.code.as_ref(), proofs.recovery_code.as_ref());
    if code.is_none() && recovery_code.is_none() {
        return Ok(None);
    }
    let proof = Proof::parse(code, recovery_code).map_err(DeleteError::Invalid)?;
    Ok(Some(proof))
}

/// What somebody sends who has no second factor makes no difference.
async fn prepare(
    identity: &Identity,
    caller: &Caller,
    proof: Proof,
    now: OffsetDateTime,
) -> Result<Option<Ready>, DeleteError> {
    let user = caller.user_id();
    match second_factor::prepare(identity, user, Wanted::Confirmed, proof, now).await {
        Ok(ready) => Ok(Some(ready)),
        Err(NotReady::None) => Ok(None),
        Err(NotReady::Unreadable) => Err(DeleteError::Unreadable),
        Err(NotReady::Unexpected(unexpected)) => Err(unexpected.into()),
    }
}

/// The account's second factor, as it is in this transaction, has to have been shown.
async fn show(
    identity: &Identity,
    transaction: &Transaction<'_>,
    ready: Option<&Ready>,
    sighting: &Sighting,
    now: OffsetDateTime,
) -> Result<(), DeleteError> {
    let Some(ready) = ready else {
        let factor = second_factors::find_and_lock(transaction, sighting.user).await?;
        return if factor.is_some_and(|factor| factor.confirmed) {
            Err(DeleteError::SecondFactorRequired)
        } else {
            Ok(())
        };
    };
    match ready.show(identity, transaction, sighting, now).await? {
        Shown::Right => Ok(()),
        Shown::Wrong => Err(DeleteError::WrongCode),
        Shown::Locked(locked) => Err(DeleteError::TooManyAttempts(locked)),
        // Replaced or removed at this moment.
        Shown::Gone => Err(DeleteError::SecondFactorRequired),
    }
}
