//! Somebody asks for a mail to an address. The answer and the work are the same for every address: the worker finds
//! out, behind the answer, what is known of it.

use shared::problem::{
    Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity, domain::email_address::EmailAddress, mail::Errand, outbox_key, store::outbox,
};

#[derive(Debug, Error)]
pub(crate) enum MailRequestError {
    #[error("See errors for what is wrong and where.")]
    NotAnAddress,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for MailRequestError {
    const CASES: &'static [Case] = &[INVALID_REQUEST, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::NotAnAddress => &INVALID_REQUEST,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::NotAnAddress => vec![FieldError::body("email", "is not an e-mail address")],
            Self::Unexpected(_) => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotAnAddress => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The confirmation mail again, for every sign-up of the address that waits.
pub(crate) async fn resend_verification(
    identity: &Identity,
    email: &str,
    now: OffsetDateTime,
) -> Result<(), MailRequestError> {
    leave(identity, email, |email| Errand::Resend { email }, now).await
}

/// A mail with which the password of the address's account can be replaced, if it has one.
pub(crate) async fn forgot_password(
    identity: &Identity,
    email: &str,
    network: String,
    now: OffsetDateTime,
) -> Result<(), MailRequestError> {
    let errand = |email| Errand::ForgotPassword { email, network };
    leave(identity, email, errand, now).await
}

async fn leave(
    identity: &Identity,
    email: &str,
    errand: impl FnOnce(String) -> Errand,
    now: OffsetDateTime,
) -> Result<(), MailRequestError> {
    let address = EmailAddress::parse(email).ok_or(MailRequestError::NotAnAddress)?;
    let outbox = outbox_key::opened(identity, now).await?;
    let message = errand(address.typed().to_owned()).sealed(&outbox, now);
    outbox::insert(&*identity.pool.get().await?, &message).await?;
    identity.outbox_filled.notify_one();
    Ok(())
}
