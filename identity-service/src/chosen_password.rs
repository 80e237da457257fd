//! A password that somebody wants to have from now on: checked and hashed where hashing belongs, since estimating
//! one takes milliseconds, too.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use shared::{
    problem::{
        Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, RECORD_UNREADABLE, UNAVAILABLE,
        Unexpected,
    },
    random,
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    domain::{email_address::EmailAddress, password::Password, secret_keys::SecretKeys},
    hashing::{OVERLOADED, Overloaded},
    me,
    settings::Passwords,
    store::accounts::{Profile, StoredPassword},
};

/// Why it is not taken.
#[derive(Debug, Error)]
pub(crate) enum NotChosen {
    #[error("See errors for what is wrong and where.")]
    Weak(Vec<FieldError>),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for NotChosen {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        RECORD_UNREADABLE,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Weak(_) => &INVALID_REQUEST,
            Self::Overloaded(overloaded) => overloaded.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded(overloaded) => overloaded.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Weak(errors) => errors.clone(),
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

/// What takes the place of an account's password.
pub(crate) struct Replacement {
    pub(crate) password: StoredPassword,
    pub(crate) email_index: Vec<u8>,
}

/// The new password of an account, from the field `new_password`. It must not be made of the account's address.
pub(crate) async fn replacement(
    identity: &Identity,
    profile: &Profile,
    new_password: SecretString,
    now: OffsetDateTime,
) -> Result<Replacement, NotChosen> {
    let address = EmailAddress::parse(&me::address(identity, profile, now).await?);
    let address = address.ok_or_else(|| Unexpected::bug("the address of an account is none"))?;
    let email_index = identity.secrets.email_index(&address);
    let (secrets, owner) = (Arc::clone(&identity.secrets), profile.key.user_id);
    let Passwords { shortest, cost } = identity.passwords;
    let hashed = identity.hashing.run(move || {
        let field = "new_password";
        Password::chosen(field, &new_password, shortest, Some(&address))
            .map(|password| hash(&secrets, owner, &password, cost))
    });
    let password = hashed.await?.map_err(NotChosen::Weak)?;
    Ok(Replacement {
        password,
        email_index,
    })
}

/// A hash of no password that anybody knows, of today's cost: comparing with it takes what comparing with any does.
pub(crate) async fn hash_of_none(identity: &Identity, owner: UserId) -> Result<String, Overloaded> {
    let secrets = Arc::clone(&identity.secrets);
    let cost = identity.passwords.cost;
    let hashed = identity.hashing.run(move || {
        let nobodys = SecretString::from(hex::encode(random::bytes::<32>()));
        hash(&secrets, owner, &Password::presented(&nobodys), cost).hash
    });
    hashed.await
}

/// What is kept of the password of an account: under the newest pepper. Takes as long as the cost says.
pub(crate) fn hash(
    secrets: &SecretKeys,
    owner: UserId,
    password: &Password,
    cost: u32,
) -> StoredPassword {
    let pepper_version = secrets.newest();
    let pepper = secrets.pepper(pepper_version);
    let pepper = pepper.expect("the newest version is there");
    StoredPassword {
        hash: password.hash(owner, pepper, cost),
        pepper_version,
    }
}
