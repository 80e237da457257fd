//! The owner of an address answers the mail: the pending sign-up becomes the account of that address, with
//! the password that was chosen in it.

use secrecy::SecretString;
use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    applicant::Applicant,
    domain::{
        email_address::EmailAddress,
        sealed::Column,
        single_use_token::{Purpose, SingleUseToken},
        token_type::NotOurs,
    },
    outbox_key,
    person_key::PersonKey,
    refresh::WRONG_TYPE,
    store::{
        accounts::{self, NewAccount},
        pending_signups::{self, Pending},
    },
};

#[derive(Debug, Error)]
pub(crate) enum VerifyError {
    /// Unknown, used, expired, overtaken by another sign-up, tampered with in the database, or of a password whose
    /// pepper is no longer configured: a client can do the same about each.
    #[error("Sign up again to get another mail.")]
    InvalidToken,
    #[error("The token from a confirmation mail is needed here.")]
    WrongTokenType,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_TOKEN: Case = Case::new(
    400,
    "invalid_verification_token",
    "The token is not one that can be confirmed",
);

impl Failure for VerifyError {
    const CASES: &'static [Case] = &[INVALID_TOKEN, WRONG_TYPE, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<NotOurs> for VerifyError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

/// An account that is about to be stored.
struct Prepared {
    address: EmailAddress,
    key: PersonKey,
    email_sealed: Vec<u8>,
}

/// Confirms a sign-up. Of two confirmations at once, one makes the account.
pub(crate) async fn verify_email(
    identity: &Identity,
    token: SecretString,
    now: OffsetDateTime,
) -> Result<(), VerifyError> {
    let token = SingleUseToken::presented(Purpose::Verification, token)?;
    let token = token.sought(&identity.secrets);
    let found = {
        let db = identity.pool.get().await?;
        pending_signups::find_by_token(&*db, &token, now).await?
    };
    let pending = found.ok_or(VerifyError::InvalidToken)?;
    if identity
        .secrets
        .pepper(pending.password.pepper_version)
        .is_none()
    {
        return Err(VerifyError::InvalidToken);
    }
    let prepared = prepare(identity, &pending, now).await?;
    let indexes = identity.secrets.email_indexes(&prepared.address);

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    accounts::lock_address(&transaction, &indexes).await?;
    let still_there = pending_signups::take(&transaction, pending.id).await?;
    // An account under an older version of the index does not collide with the newest one by itself.
    if !still_there || accounts::exists(&transaction, &indexes).await? {
        return Err(VerifyError::InvalidToken);
    }
    let account = NewAccount {
        key: &prepared.key,
        email_index: &identity.secrets.email_index(&prepared.address),
        email_sealed: &prepared.email_sealed,
        password: &pending.password,
    };
    accounts::insert(&transaction, &account, now).await?;
    pending_signups::discard_all(&transaction, &indexes).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    tracing::info!(user.id = %prepared.key.user_id, "account confirmed");
    Ok(())
}

/// Takes the address out of the sign-up and seals it under the person's own new key. Asks the vault, so it
/// comes before the transaction.
async fn prepare(
    identity: &Identity,
    pending: &Pending,
    now: OffsetDateTime,
) -> Result<Prepared, VerifyError> {
    let outbox = outbox_key::opened(identity, now).await?;
    let applicant = Applicant::open(pending, &outbox).ok_or(VerifyError::InvalidToken)?;
    let address = applicant.address;
    let (stored, key) = PersonKey::create(identity, UserId::new(pending.id), now).await?;
    let place = Column::AccountEmail.of(pending.id, pending.id);
    let email_sealed = key
        .seal(&place, address.typed().as_bytes())
        .expect("an address is short");
    Ok(Prepared {
        address,
        key: stored,
        email_sealed,
    })
}
