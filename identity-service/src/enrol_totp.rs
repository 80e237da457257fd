//! A person gets a secret for their authenticator. It protects nothing until a code of it has been shown.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, RECORD_UNREADABLE, UNAVAILABLE, Unexpected},
    random,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::Device,
    domain::{
        sealed::Column,
        totp::{Provisioning, TotpSecret},
    },
    hashing::OVERLOADED,
    lockout::TOO_MANY_ATTEMPTS,
    me,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    store::{accounts, second_factors, sessions},
};

#[derive(Debug, Error)]
pub(crate) enum EnrolError {
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error("Remove the authenticator that there is first.")]
    AlreadyEnabled,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const ALREADY_ENABLED: Case = Case::new(
    409,
    "mfa_already_enabled",
    "There is a confirmed authenticator",
);

impl Failure for EnrolError {
    const CASES: &'static [Case] = &[
        SESSION_ENDED,
        WRONG_PASSWORD,
        ALREADY_ENABLED,
        TOO_MANY_ATTEMPTS,
        RECORD_UNREADABLE,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::NotProven(why) => why.case(),
            Self::AlreadyEnabled => &ALREADY_ENABLED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotProven(why) => why.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotProven(why) => why.unexpected(),
            Self::AlreadyEnabled => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Offers a new secret, in place of one that was offered and not confirmed.
pub(crate) async fn enrol_totp(
    identity: &Identity,
    caller: &Caller,
    password: &SecretString,
    device: &Device,
    now: OffsetDateTime,
) -> Result<Provisioning, EnrolError> {
    reauthenticate(identity, caller, password, device, now).await?;
    let user = caller.user_id();
    let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
    let profile = profile.ok_or(NotProven::Ended)?;
    let address = me::address(identity, &profile, now).await?;
    let key = profile.key.open(identity, now).await?;

    let secret = TotpSecret::generate();
    let id = random::uuid_v7(now);
    let sealed = key
        .seal(&Column::TotpSecret.of(user.uuid(), id), secret.expose())
        .expect("a secret is short");
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    if !second_factors::offer(&transaction, user, id, &sealed, now).await? {
        return Err(EnrolError::AlreadyEnabled);
    }
    // Unless its owner has ended the caller's session meanwhile.
    let session = sessions::find_and_lock(&transaction, caller.session_id()).await?;
    session.ok_or(NotProven::Ended)?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(secret.provisioning(&identity.totp_issuer, &address))
}
