//! Somebody asks for an account. What happens here is the same whatever is known of the address; the
//! worker decides, behind the answer, which mail its owner gets.

use std::sync::Arc;

use secrecy::SecretString;
use shared::{
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    random,
    user_id::UserId,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    Identity,
    applicant::Applicant,
    chosen_password,
    domain::{email_address::EmailAddress, password::Password},
    hashing::{OVERLOADED, Overloaded},
    mail::Errand,
    outbox_key,
    settings::Passwords,
    store::{
        accounts::StoredPassword,
        outbox::{self, Message},
        pending_signups::{self, Pending},
    },
};

/// How long a sign-up waits to be confirmed.
const PENDING: Duration = Duration::hours(24);

/// A sign-up as it came.
pub(crate) struct Attempt {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    /// Where it came from, for the person who reads the mail.
    pub(crate) network: String,
}

#[derive(Debug, Error)]
pub(crate) enum SignupError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for SignupError {
    const CASES: &'static [Case] = &[INVALID_REQUEST, OVERLOADED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Overloaded(overloaded) => overloaded.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Overloaded(overloaded) => overloaded.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors.clone(),
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

/// Stores a pending sign-up and the errand to mail its owner, in one transaction.
pub(crate) async fn signup(
    identity: &Identity,
    attempt: Attempt,
    now: OffsetDateTime,
) -> Result<(), SignupError> {
    let Attempt {
        email,
        password,
        network,
    } = attempt;
    let id = random::uuid_v7(now);
    let (address, password) = prepare(identity, id, email, password).await?;
    let outbox = outbox_key::opened(identity, now).await?;
    let email_index = identity.secrets.email_index(&address);
    let pending = Pending {
        id,
        email_index,
        sealed: Applicant { address, network }.sealed(&outbox, id),
        service_key_id: outbox.id,
        password,
        created_at: now,
        expires_at: now + PENDING,
    };
    let message = Errand::Signup { pending_id: id }.sealed(&outbox, now);
    store(identity, &pending, &message).await?;
    identity.outbox_filled.notify_one();
    Ok(())
}

/// Checks and hashes, where hashing belongs: estimating a password takes milliseconds, too. Every problem is
/// told at once.
async fn prepare(
    identity: &Identity,
    pending_id: Uuid,
    email: String,
    password: SecretString,
) -> Result<(EmailAddress, StoredPassword), SignupError> {
    // The account that the sign-up becomes has its id.
    let (secrets, owner) = (Arc::clone(&identity.secrets), UserId::new(pending_id));
    let Passwords { shortest, cost } = identity.passwords;
    let prepared = identity.hashing.run(move || {
        let address = EmailAddress::parse(&email);
        let password = Password::chosen("password", &password, shortest, address.as_ref());
        match (address, password) {
            (Some(address), Ok(password)) => Ok((
                address,
                chosen_password::hash(&secrets, owner, &password, cost),
            )),
            (address, password) => {
                let email = FieldError::body("email", "is not an e-mail address");
                let wrong = address.is_none().then_some(email);
                let weak = password.err().unwrap_or_default();
                Err(wrong.into_iter().chain(weak).collect())
            }
        }
    });
    prepared.await?.map_err(SignupError::Invalid)
}

async fn store(
    identity: &Identity,
    pending: &Pending,
    message: &Message,
) -> Result<(), Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    pending_signups::insert(&transaction, pending).await?;
    outbox::insert(&transaction, message).await?;
    transaction.commit().await?;
    Ok(())
}
