//! A person proves who they are by address and password.

use std::{hint::black_box, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use shared::{
    access_token::CROSS_SITE,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity, chosen_password,
    device::Device,
    domain::{
        amr::Amr,
        carrier::Carrier,
        device_token::{self, Holder},
        email_address::EmailAddress,
        lockout::Bucket,
        password::{HIGHEST_COST, Password, cost_of, missing_work},
    },
    failed_login,
    hashing::{OVERLOADED, Overloaded},
    lockout::{self, Locked, NotAdmitted, TOO_MANY_ATTEMPTS},
    mfa_challenge::{self, Challenge},
    mint::{self, Opened, Proven, Withheld},
    refresh::WRONG_TYPE,
    store::accounts::{self, Credentials},
};

/// A login as it came.
pub(crate) struct Attempt {
    pub(crate) email: String,
    pub(crate) password: SecretString,
    /// What the person will see in their list of sessions.
    pub(crate) device: Device,
    /// What an earlier login gave this device.
    pub(crate) device_token: Option<SecretString>,
    pub(crate) carrier: Carrier,
}

/// What a right password leads to.
pub(crate) enum LoggedIn {
    Authenticated(Opened),
    /// The account has a second factor.
    MfaRequired(Challenge),
}

#[derive(Debug, Error)]
pub(crate) enum LoginError {
    /// Wrong password, unknown address, unconfirmed sign-up, disabled account: one answer, or signing up
    /// and logging in would tell which.
    #[error("The address or the password is wrong.")]
    InvalidCredentials,
    /// The same for a right password, and for an address that nobody has.
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    /// Told for every address alike, before anything is looked up.
    #[error("The device_token of an earlier login is needed here, or none.")]
    WrongTokenType,
    /// A page of another site asks for cookies.
    #[error("This page may not log anybody in.")]
    CrossSite,
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
    const CASES: &'static [Case] = &[
        INVALID_CREDENTIALS,
        WRONG_TYPE,
        TOO_MANY_ATTEMPTS,
        CROSS_SITE,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidCredentials => &INVALID_CREDENTIALS,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::TooManyAttempts(locked) => locked.case(),
            Self::CrossSite => &CROSS_SITE,
            Self::Overloaded(overloaded) => overloaded.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooManyAttempts(locked) => locked.retry_after(),
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

impl From<NotAdmitted> for LoginError {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Locked(locked) => Self::TooManyAttempts(locked),
            NotAdmitted::Unexpected(unexpected) => Self::Unexpected(unexpected),
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
    let device_token = attempt.device_token.as_ref();
    if device_token.is_some_and(|it| device_token::is_another_type(it.expose_secret())) {
        return Err(LoginError::WrongTokenType);
    }
    let address = EmailAddress::parse(&attempt.email);
    let found = match &address {
        Some(address) => {
            let indexes = identity.secrets.email_indexes(address);
            accounts::credentials(&*identity.pool.get().await?, &indexes).await?
        }
        // No account has it; it is counted and compared all the same.
        None => None,
    };
    let known = known_device(identity, &attempt, found.as_ref(), now);
    let bucket = bucket(identity, &attempt.email, known);
    lockout::admit(identity, &bucket, now).await?;
    let password = Password::presented(&attempt.password);
    let compared = compare(identity, password, found).await;
    if compared.is_err() {
        lockout::take_back(identity, &bucket).await;
    }
    let Some((credentials, password)) = compared? else {
        // What is no address has no account, whatever anybody knows of those that are.
        if let Some(address) = &address {
            failed_login::note(identity, address, attempt.device, now).await;
        }
        return Err(LoginError::InvalidCredentials);
    };
    let Attempt {
        device, carrier, ..
    } = attempt;
    let proven = Proven {
        user_id: credentials.user_id,
        epoch: credentials.epoch,
        amr: Amr::Password,
        known_device: known.is_some(),
    };
    let logged_in = if credentials.second_factor {
        LoggedIn::MfaRequired(mfa_challenge::begin(identity, proven, now).await?)
    } else {
        LoggedIn::Authenticated(mint::open_session(identity, proven, device, carrier, now).await?)
    };
    lockout::clear(identity, &bucket).await;
    if let Some(address) = address {
        keep_up_to_date(identity, credentials, &address, password).await;
    }
    Ok(logged_in)
}

/// The device, if it shows that it logged in to this account before.
fn known_device(
    identity: &Identity,
    attempt: &Attempt,
    found: Option<&Credentials>,
    now: OffsetDateTime,
) -> Option<(UserId, Uuid)> {
    let token = attempt.device_token.as_ref()?.expose_secret();
    let Credentials { user_id, epoch, .. } = *found?;
    let device = device_token::known(&identity.secrets, Holder { user_id, epoch }, token, now)?;
    Some((user_id, device))
}

/// Where the attempt counts: with the device, if this account knows it, and otherwise with all strangers who try
/// this address.
fn bucket(identity: &Identity, email: &str, known: Option<(UserId, Uuid)>) -> Bucket {
    match known {
        Some((user_id, device)) => Bucket::device(&identity.secrets, user_id, device),
        None => Bucket::identifier(&identity.secrets, email),
    }
}

/// The work of one hash at the cost of the costliest there is, whether there is an account or not.
pub(crate) async fn compare(
    identity: &Identity,
    password: Password,
    found: Option<Credentials>,
) -> Result<Option<(Credentials, Password)>, Overloaded> {
    let secrets = Arc::clone(&identity.secrets);
    let stored = found.as_ref().and_then(|it| cost_of(&it.password.hash));
    let stored = stored.filter(|cost| *cost <= HIGHEST_COST).unwrap_or(0);
    let cost = identity
        .hashing
        .costliest(stored.max(identity.passwords.cost));
    let compared = identity.hashing.run(move || {
        // A hash under a pepper that is no longer configured is as good as none: nobody can prove it.
        let comparable = found.and_then(|credentials| {
            let pepper = secrets.pepper(credentials.password.pepper_version)?;
            Some((credentials, pepper))
        });
        let matches = comparable.as_ref().is_some_and(|(found, pepper)| {
            password.matches(found.user_id, pepper, &found.password.hash)
        });
        let stored = comparable
            .as_ref()
            .map(|(found, _)| found.password.hash.as_str());
        let newest = secrets.pepper(secrets.newest());
        let newest = newest.expect("the newest version is there");
        let owner = comparable.as_ref().map(|(found, _)| found.user_id);
        let owner = owner.unwrap_or(UserId::new(Uuid::nil()));
        for dummy in missing_work(stored, cost) {
            black_box(password.matches(owner, newest, &dummy));
        }
        // The gate would not let a disabled account pass either, but it would take its time.
        let (found, _) = comparable.filter(|(found, _)| matches && !found.disabled)?;
        Some((found, password))
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
        epoch,
        password: before,
        ..
    } = credentials;
    let (newest, cost) = (identity.secrets.newest(), identity.passwords.cost);
    if before.pepper_version == newest && cost_of(&before.hash) == Some(cost) {
        return;
    }
    let secrets = Arc::clone(&identity.secrets);
    let hashed = identity
        .hashing
        .run(move || chosen_password::hash(&secrets, user_id, &password, cost));
    let Ok(after) = hashed.await else { return };
    let email_index = identity.secrets.email_index(address);
    let stored = async {
        let db = identity.pool.get().await?;
        accounts::renew(&*db, user_id, epoch, &email_index, &after).await
    };
    if let Err(error) = stored.await {
        tracing::warn!(user.id = %user_id, error = error.chain(), "a password keeps its older hash");
    }
}
