//! Somebody asks for the confirmation mail again. The answer and the work are the same for every address.

use shared::problem::{
    Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity, domain::email_address::EmailAddress, mail::Errand, outbox_key, store::outbox,
};

#[derive(Debug, Error)]
pub(crate) enum ResendError {
    #[error("See errors for what is wrong and where.")]
    NotAnAddress,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ResendError {
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

/// Leaves the errand; the worker finds out whether a sign-up is waiting.
pub(crate) async fn resend_verification(
    identity: &Identity,
    email: &str,
    now: OffsetDateTime,
) -> Result<(), ResendError> {
    let address = EmailAddress::parse(email).ok_or(ResendError::NotAnAddress)?;
    let outbox = outbox_key::opened(identity, now).await?;
    let email = address.typed().to_owned();
    let message = Errand::Resend { email }.sealed(&outbox, now);
    outbox::insert(&*identity.pool.get().await?, &message).await?;
    identity.outbox_filled.notify_one();
    Ok(())
}
