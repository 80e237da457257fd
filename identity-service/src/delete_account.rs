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
    erasure, events, factor_if_any,
    hashing::OVERLOADED,
    lockout::TOO_MANY_ATTEMPTS,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    second_factor::{self, NotShown, SECOND_FACTOR_REQUIRED, UNREADABLE, WRONG_CODE},
    store::sessions::{self, EndReason},
};

#[derive(Debug, Error)]
pub(crate) enum DeleteError {
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error(transparent)]
    NotShown(#[from] NotShown),
}

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

impl From<Unexpected> for DeleteError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotProven(unexpected.into())
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
    let proof = factor_if_any::proof(proofs.code.as_ref(), proofs.recovery_code.as_ref())?;
    reauthenticate(identity, caller, &proofs.password, &proofs.device, now).await?;
    let ready = factor_if_any::prepare(identity, user, proof, now).await?;
    let sighting = Sighting::of(identity, user, proofs.device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = factor_if_any::show(identity, &transaction, ready.as_ref(), &sighting, now).await;
    let begun = match shown {
        Ok(()) => Ok(begin(identity, &transaction, caller, &sighting, now).await?),
        Err(why) => Err(why),
    };
    let begun = second_factor::conclude(transaction, begun).await;
    identity.outbox_filled.notify_one();
    let begun = begun?;
    identity.erasure_begun.notify_one();
    Ok(begun)
}

/// Closes the account: nothing that is under way gets past this.
async fn begin(
    identity: &Identity,
    transaction: &Transaction<'_>,
    caller: &Caller,
    sighting: &Sighting,
    now: OffsetDateTime,
) -> Result<Erasure, DeleteError> {
    // Sessions before the account, as everywhere. The caller's is among them, unless its owner has ended it meanwhile.
    let user = sighting.user;
    let ended = sessions::end_all(transaction, user, EndReason::AccountDeleted, now).await?;
    if !ended.contains(&caller.session_id()) {
        return Err(NotProven::Ended.into());
    }
    let begun = erasure::begin(identity, transaction, user, now).await?;
    // The second of two at once finds it deleted.
    let begun = begun.ok_or(NotProven::Ended)?;
    events::record(transaction, sighting, Event::AccountDeleted, now).await?;
    Ok(begun)
}
