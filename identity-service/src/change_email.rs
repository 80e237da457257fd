//! A person wants another address for their account. The answer and the work are the same for every address: the worker
//! finds out, behind the answer, whether it is free, and asks there.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::Device,
    domain::email_address::EmailAddress,
    hashing::OVERLOADED,
    lockout::TOO_MANY_ATTEMPTS,
    mail::Errand,
    outbox_key,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    store::outbox,
};

/// A wish as it came.
pub(crate) struct Wish {
    pub(crate) password: SecretString,
    pub(crate) new_email: String,
    /// Where it came from, for whoever reads the mail.
    pub(crate) device: Device,
}

#[derive(Debug, Error)]
pub(crate) enum ChangeEmailError {
    #[error("See errors for what is wrong and where.")]
    NotAnAddress,
    #[error(transparent)]
    NotProven(#[from] NotProven),
}

impl Failure for ChangeEmailError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SESSION_ENDED,
        WRONG_PASSWORD,
        TOO_MANY_ATTEMPTS,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::NotAnAddress => &INVALID_REQUEST,
            Self::NotProven(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotAnAddress => None,
            Self::NotProven(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::NotAnAddress => vec![FieldError::body("new_email", "is not an e-mail address")],
            Self::NotProven(_) => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotAnAddress => None,
            Self::NotProven(why) => why.unexpected(),
        }
    }
}

impl From<Unexpected> for ChangeEmailError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotProven(unexpected.into())
    }
}

/// Leaves the wish to the worker, if the password is right.
pub(crate) async fn change_email(
    identity: &Identity,
    caller: &Caller,
    wish: Wish,
    now: OffsetDateTime,
) -> Result<(), ChangeEmailError> {
    let address = EmailAddress::parse(&wish.new_email).ok_or(ChangeEmailError::NotAnAddress)?;
    let proven = reauthenticate(identity, caller, &wish.password, &wish.device, now).await?;
    let outbox = outbox_key::opened(identity, now).await?;
    let errand = Errand::ChangeEmail {
        user_id: caller.user_id(),
        epoch: proven.epoch,
        email: address.typed().to_owned(),
        network: wish.device.network,
    };
    let message = errand.sealed(&outbox, now);
    outbox::insert(&*identity.pool.get().await?, &message).await?;
    identity.outbox_filled.notify_one();
    Ok(())
}
