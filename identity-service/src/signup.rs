//! Somebody asks for an account. What happens here is the same whatever is known of the address; the
//! worker decides, behind the answer, which mail its owner gets.

use secrecy::SecretString;
use shared::problem::{
    Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::{
    Identity,
    domain::{
        email_address::EmailAddress, mail_token::MailToken, password::Password, sealed::Column,
    },
    hashing::{OVERLOADED, Overloaded},
    mail::Errand,
    outbox_key,
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
    let (address, password) = check(identity, &attempt)?;
    let stored = hash(identity, password).await?;
    let outbox = outbox_key::opened(identity, now).await?;
    let token = MailToken::generate();
    let id = shared::random::uuid_v7(now);
    let place = Column::PendingEmail.of(outbox.id, id);
    let pending = Pending {
        id,
        email_index: identity.secrets.email_index(&address),
        email_sealed: outbox
            .key
            .seal(&place, address.typed().as_bytes())
            .expect("an address is short"),
        service_key_id: outbox.id,
        password: stored,
        created_at: now,
        expires_at: now + PENDING,
    };
    let errand = Errand::signup(&address, &token, attempt.network);
    let message = errand.sealed(&outbox, now);
    store(identity, &pending, &token, &message).await?;
    identity.outbox_filled.notify_one();
    Ok(())
}

/// Every problem at once.
fn check(identity: &Identity, attempt: &Attempt) -> Result<(EmailAddress, Password), SignupError> {
    let Some(address) = EmailAddress::parse(&attempt.email) else {
        let error = FieldError::body("email", "is not an e-mail address");
        return Err(SignupError::Invalid(vec![error]));
    };
    let shortest = identity.passwords.shortest;
    let password = Password::chosen(&attempt.password, shortest, &address)
        .map_err(|error| SignupError::Invalid(vec![error]))?;
    Ok((address, password))
}

async fn hash(identity: &Identity, password: Password) -> Result<StoredPassword, SignupError> {
    let secrets = std::sync::Arc::clone(&identity.secrets);
    let cost = identity.passwords.cost;
    let stored = identity.hashing.run(move || {
        let pepper_version = secrets.newest();
        let pepper = secrets
            .pepper(pepper_version)
            .expect("the newest version is there");
        StoredPassword {
            hash: password.hash(pepper, cost),
            pepper_version,
        }
    });
    Ok(stored.await?)
}

async fn store(
    identity: &Identity,
    pending: &Pending,
    token: &MailToken,
    message: &Message,
) -> Result<(), Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    pending_signups::insert(&transaction, pending, &token.hash()).await?;
    outbox::insert(&transaction, message).await?;
    transaction.commit().await?;
    Ok(())
}
