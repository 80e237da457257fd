//! A person proves who they are by address and password.

use std::sync::Arc;

use secrecy::SecretString;
use shared::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::Device,
    domain::{
        amr::Amr,
        email_address::EmailAddress,
        password::{Password, cost_of, dummy_hash},
    },
    hashing::{OVERLOADED, Overloaded},
    mfa_challenge::{self, Challenge},
    mint::{self, Proven, Tokens, Withheld},
    store::accounts::{self, Credentials, StoredPassword},
};

/// A login as it came.
pub(crate) struct Attempt {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    /// What the person will see in their list of sessions.
    pub(crate) device: Device,
}

/// What a right password leads to.
pub(crate) enum LoggedIn {
    Authenticated(Tokens),
    /// The account has a second factor.
    MfaRequired(Challenge),
}

#[derive(Debug, Error)]
pub(crate) enum LoginError {
    /// Wrong password, unknown address, unconfirmed sign-up, disabled account: one answer, or signing up
    /// and logging in would tell which.
    #[error("The address or the password is wrong.")]
    InvalidCredentials,
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_CREDENTIALS: Case = Case::new(
    401,
    "invalid_credentials",
    "The address or the password is wrong",
);

impl Failure for LoginError {
    const CASES: &'static [Case] = &[INVALID_CREDENTIALS, OVERLOADED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidCredentials => &INVALID_CREDENTIALS,
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

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<Withheld> for LoginError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::NotAllowed => Self::InvalidCredentials,
            Withheld::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// Opens a session or asks for the second factor, after the same work for every address.
pub(crate) async fn login(
    identity: &Identity,
    attempt: Attempt,
    now: OffsetDateTime,
) -> Result<LoggedIn, LoginError> {
    // Asked first, so that a service that cannot sign yet says so to everybody alike.
    identity.signing.active()?;
    let address = EmailAddress::parse(&attempt.email);
    let found = match &address {
        Some(address) => {
            let indexes = identity.secrets.email_indexes(address);
            accounts::credentials(&*identity.pool.get().await?, &indexes).await?
        }
        // No account has it; the compare below is made all the same.
        None => None,
    };
    let password = Password::presented(&attempt.password);
    let proven = compare(identity, password, found).await?;
    let (credentials, password) = proven.ok_or(LoginError::InvalidCredentials)?;
    let Credentials { user_id, epoch, .. } = credentials;
    let logged_in = if credentials.second_factor {
        LoggedIn::MfaRequired(mfa_challenge::begin(identity, user_id, epoch, now).await?)
    } else {
        let proven = Proven {
            user_id,
            epoch,
            amr: Amr::Password,
        };
        LoggedIn::Authenticated(mint::open_session(identity, proven, attempt.device, now).await?)
    };
    if let Some(address) = address {
        keep_up_to_date(identity, credentials, &address, password).await;
    }
    Ok(logged_in)
}

/// One hash of the present cost, whether there is an account or not.
pub(crate) async fn compare(
    identity: &Identity,
    password: Password,
    found: Option<Credentials>,
) -> Result<Option<(Credentials, Password)>, Overloaded> {
    let secrets = Arc::clone(&identity.secrets);
    let cost = identity.passwords.cost;
    let compared = identity.hashing.run(move || {
        let stored = found.as_ref().map(|credentials| &credentials.password);
        let pepper = stored.and_then(|stored| secrets.pepper(stored.pepper_version));
        if let (Some(pepper), Some(stored)) = (pepper, stored) {
            let matches = password.matches(pepper, &stored.hash);
            let proven = found.filter(|_| matches);
            return proven.map(|credentials| (credentials, password));
        }
        // No account, or a hash under a pepper that is no longer configured: nobody can prove it.
        let newest = secrets.pepper(secrets.newest());
        password.matches(
            newest.expect("the newest version is there"),
            &dummy_hash(cost),
        );
        None
    });
    compared.await
}

/// A hash of an older cost or pepper is replaced while the password is at hand, and with it the index of an older
/// secret while the address is: no row is ever under an older index than its pepper's. Its failure fails no login.
async fn keep_up_to_date(
    identity: &Identity,
    credentials: Credentials,
    address: &EmailAddress,
    password: Password,
) {
    let Credentials {
        user_id,
        password: before,
        ..
    } = credentials;
    let (newest, cost) = (identity.secrets.newest(), identity.passwords.cost);
    if before.pepper_version == newest && cost_of(&before.hash) == Some(cost) {
        return;
    }
    let secrets = Arc::clone(&identity.secrets);
    let hashed = identity.hashing.run(move || {
        let pepper = secrets.pepper(newest).expect("the newest version is there");
        StoredPassword {
            hash: password.hash(pepper, cost),
            pepper_version: newest,
        }
    });
    let Ok(after) = hashed.await else { return };
    let email_index = identity.secrets.email_index(address);
    let stored = async {
        let db = identity.pool.get().await?;
        accounts::renew(&*db, user_id, &email_index, &before, &after).await
    };
    if let Err(error) = stored.await {
        tracing::warn!(user.id = %user_id, error = error.chain(), "a password keeps its older hash");
    }
}
