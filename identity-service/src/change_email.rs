//! A person wants another address for their account. The answer and the work are the same for every address: the worker
//! finds out, behind the answer, whether it is free, and asks there.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    change_mfa::Proofs,
    device::Sighting,
    domain::email_address::EmailAddress,
    factor_if_any,
    hashing::OVERLOADED,
    lockout::TOO_MANY_ATTEMPTS,
    mail::Errand,
    outbox_key,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    second_factor::{self, NotShown, SECOND_FACTOR_REQUIRED, UNREADABLE, WRONG_CODE},
    store::{outbox, sessions},
};

/// A wish as it came.
pub(crate) struct Wish {
    pub(crate) new_email: String,
    /// The device is where it came from, for whoever reads the mail.
    pub(crate) proofs: Proofs,
}

#[derive(Debug, Error)]
pub(crate) enum ChangeEmailError {
    #[error("See errors for what is wrong and where.")]
    InvalidAddress,
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error(transparent)]
    NotShown(#[from] NotShown),
}

impl Failure for ChangeEmailError {
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
            Self::InvalidAddress => &INVALID_REQUEST,
            Self::NotProven(why) => why.case(),
            Self::NotShown(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::InvalidAddress => None,
            Self::NotProven(why) => why.retry_after(),
            Self::NotShown(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidAddress => vec![FieldError::body("new_email", "is not an e-mail address")],
            Self::NotProven(_) => Vec::new(),
            Self::NotShown(why) => why.errors(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::InvalidAddress => None,
            Self::NotProven(why) => why.unexpected(),
            Self::NotShown(why) => why.unexpected(),
        }
    }
}

impl From<Unexpected> for ChangeEmailError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotProven(unexpected.into())
    }
}

/// Leaves the wish to the worker, if the password is right, and the second factor where there is one.
pub(crate) async fn change_email(
    identity: &Identity,
    caller: &Caller,
    wish: Wish,
    now: OffsetDateTime,
) -> Result<(), ChangeEmailError> {
    let Wish { new_email, proofs } = wish;
    let (user, session) = (caller.user_id(), caller.session_id());
    let address = EmailAddress::parse(&new_email).ok_or(ChangeEmailError::InvalidAddress)?;
    let proof = factor_if_any::proof(proofs.code.as_ref(), proofs.recovery_code.as_ref())?;
    let proven = reauthenticate(identity, caller, &proofs.password, &proofs.device, now).await?;
    let ready = factor_if_any::prepare(identity, user, proof, now).await?;
    let outbox = outbox_key::opened(identity, now).await?;
    let errand = Errand::ChangeEmail {
        user_id: user,
        epoch: proven.epoch,
        email: address.typed().to_owned(),
        network: proofs.device.network.clone(),
    };
    let message = errand.sealed(&outbox, now);
    let sighting = Sighting::of(identity, user, proofs.device, now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let shown = factor_if_any::show(identity, &transaction, ready.as_ref(), &sighting, now).await;
    if shown.is_ok() {
        // Unless its owner has ended the caller's session meanwhile.
        let going_on = sessions::find_and_lock(&transaction, session).await?;
        going_on.ok_or(NotProven::Ended)?;
        outbox::insert(&transaction, &message).await?;
    }
    let concluded = second_factor::conclude(transaction, shown).await;
    identity.outbox_filled.notify_one();
    Ok(concluded?)
}
