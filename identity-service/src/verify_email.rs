//! The owner of an address answers the mail: a pending sign-up becomes the account of that address, with
//! the password that was chosen in it.
//!
//! The mailed token proves the mailbox, whoever's sign-up the mail was about. Where several wait, the password chooses
//! among them: a stranger who signs up with somebody's address, and so often that no mail about the owner's own sign-up
//! is sent, still prepares nothing.

use std::{iter, sync::Arc};

use secrecy::SecretString;
use shared::{
    access_token::CROSS_SITE,
    problem::{Case, Failure, INTERNAL, RECORD_UNREADABLE, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    applicant::Applicant,
    domain::{
        device_token::{self, Holder},
        email_address::EmailAddress,
        lockout::Bucket,
        password::Password,
        sealed::Column,
        single_use_token::{Purpose, SingleUseToken},
        token_type::NotOurs,
    },
    hashing::{OVERLOADED, Overloaded},
    lockout::{self, Locked, NotAdmitted, TOO_MANY_ATTEMPTS},
    outbox_key::{self, Opened},
    person_key::PersonKey,
    reauthentication::WRONG_PASSWORD,
    refresh::WRONG_TYPE,
    store::{
        accounts::{self, NewAccount},
        pending_signups::{self, Pending},
    },
};

/// Sign-ups that a password is compared with at most, beside the one that the mail was about. More than several networks
/// of a stranger can put on top of the owner's in the time that it takes to sign up and answer a mail.
const OTHERS: i64 = 20;

/// A confirmation as it came.
pub(crate) struct Confirmation {
    pub(crate) token: SecretString,
    /// The one that was chosen at sign-up.
    pub(crate) password: Option<SecretString>,
}

#[derive(Debug, Error)]
pub(crate) enum VerifyError {
    /// Unknown, used, expired, overtaken by another sign-up, tampered with in the database, or of a password whose
    /// pepper is no longer configured: a client can do the same about each.
    #[error("Sign up again to get another mail.")]
    InvalidToken,
    #[error("The token from a confirmation mail is needed here.")]
    WrongTokenType,
    /// A page of another site asks for cookies.
    #[error("This page may not make the device known.")]
    CrossSite,
    /// Nothing else says which of them is the reader's own.
    #[error("Send the password that was chosen at sign-up, too.")]
    PasswordRequired,
    #[error("No sign-up that waits for the address has this password.")]
    WrongPassword,
    /// Wrong passwords were sent for the address before. Nothing was compared.
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_TOKEN: Case = Case::new(
    400,
    "invalid_verification_token",
    "The token is not one that can be confirmed",
);

const PASSWORD_REQUIRED: Case = Case::new(
    409,
    "password_required",
    "Several sign-ups wait for the address",
);

impl Failure for VerifyError {
    const CASES: &'static [Case] = &[
        INVALID_TOKEN,
        WRONG_TYPE,
        CROSS_SITE,
        WRONG_PASSWORD,
        PASSWORD_REQUIRED,
        TOO_MANY_ATTEMPTS,
        OVERLOADED,
        RECORD_UNREADABLE,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::PasswordRequired => &PASSWORD_REQUIRED,
            Self::WrongPassword => &WRONG_PASSWORD,
            Self::TooManyAttempts(locked) => locked.case(),
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

impl From<NotOurs> for VerifyError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

impl From<NotAdmitted> for VerifyError {
    fn from(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::Locked(locked) => Self::TooManyAttempts(locked),
            NotAdmitted::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// A sign-up that can become the account.
struct Candidate {
    pending: Pending,
    address: EmailAddress,
}

impl Candidate {
    /// `None` for one that was tampered with, or whose password nobody can ever prove: it is as good as none.
    fn of(identity: &Identity, pending: Pending, outbox: &Opened) -> Option<Self> {
        identity.secrets.pepper(pending.password.pepper_version)?;
        let Applicant { address, .. } = Applicant::open(&pending, outbox)?;
        Some(Self { pending, address })
    }
}

/// An account that is about to be stored.
struct Prepared {
    key: PersonKey,
    email_sealed: Vec<u8>,
}

/// Confirms a sign-up; what the device has for having done so. Of two confirmations at once, one makes the account.
pub(crate) async fn verify_email(
    identity: &Identity,
    confirmation: Confirmation,
    now: OffsetDateTime,
) -> Result<SecretString, VerifyError> {
    let Confirmation { token, password } = confirmation;
    let token = SingleUseToken::presented(Purpose::Verification, token)?;
    let token = token.sought(&identity.secrets);
    let mailed = {
        let db = identity.pool.get().await?;
        pending_signups::find_by_token(&*db, &token, now).await?
    };
    let mailed = mailed.ok_or(VerifyError::InvalidToken)?;
    let outbox = outbox_key::opened(identity, now).await?;
    let mailed = Candidate::of(identity, mailed, &outbox).ok_or(VerifyError::InvalidToken)?;
    let bucket = Bucket::confirmation(&identity.secrets, &mailed.address);
    let waiting = waiting(identity, mailed, &outbox, now).await?;
    let chosen = match password {
        Some(password) => chosen_by(identity, waiting, &password, &bucket, now).await?,
        None => only(waiting)?,
    };
    let prepared = prepare(identity, &chosen, now).await?;
    let Candidate { pending, address } = chosen;
    let indexes = identity.secrets.email_indexes(&address);

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
        email_index: &identity.secrets.email_index(&address),
        email_sealed: &prepared.email_sealed,
        password: &pending.password,
    };
    let epoch = accounts::insert(&transaction, &account, now).await?;
    pending_signups::discard_all(&transaction, &indexes).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    let user_id = prepared.key.user_id;
    tracing::info!(user.id = %user_id, "account confirmed");
    let holder = Holder { user_id, epoch };
    Ok(device_token::issue(&identity.secrets, holder, now))
}

/// The sign-up that the mail was about, and the newest others of its address.
async fn waiting(
    identity: &Identity,
    mailed: Candidate,
    outbox: &Opened,
    now: OffsetDateTime,
) -> Result<Vec<Candidate>, Unexpected> {
    let newest = {
        let indexes = identity.secrets.email_indexes(&mailed.address);
        let db = identity.pool.get().await?;
        pending_signups::newest(&*db, &indexes, OTHERS, now).await?
    };
    let (own, address) = (mailed.pending.id, mailed.address.normalised().to_owned());
    let others = newest
        .into_iter()
        .filter(|pending| pending.id != own)
        .filter_map(|pending| Candidate::of(identity, pending, outbox))
        .filter(|other| other.address.normalised() == address);
    Ok(iter::once(mailed).chain(others).collect())
}

fn only(waiting: Vec<Candidate>) -> Result<Candidate, VerifyError> {
    let only = <[Candidate; 1]>::try_from(waiting);
    let [only] = only.map_err(|_| VerifyError::PasswordRequired)?;
    Ok(only)
}

/// The sign-up of that password. It has to be right where only one waits, too: its sender means a sign-up that may be
/// over.
async fn chosen_by(
    identity: &Identity,
    waiting: Vec<Candidate>,
    password: &SecretString,
    bucket: &Bucket,
    now: OffsetDateTime,
) -> Result<Candidate, VerifyError> {
    lockout::admit(identity, bucket, now).await?;
    match of_password(identity, waiting, Password::presented(password)).await {
        Ok(Some(chosen)) => {
            lockout::clear(identity, bucket).await;
            Ok(chosen)
        }
        Ok(None) => Err(VerifyError::WrongPassword),
        Err(overloaded) => {
            lockout::take_back(identity, bucket).await;
            Err(overloaded.into())
        }
    }
}

/// One job for each compare, as everywhere, so that others get their turn in between.
async fn of_password(
    identity: &Identity,
    waiting: Vec<Candidate>,
    password: Password,
) -> Result<Option<Candidate>, Overloaded> {
    let password = Arc::new(password);
    for candidate in waiting {
        let (secrets, password) = (Arc::clone(&identity.secrets), Arc::clone(&password));
        let compared = identity.hashing.run(move || {
            let Pending {
                id,
                password: stored,
                ..
            } = &candidate.pending;
            let pepper = secrets.pepper(stored.pepper_version)?;
            let matches = password.matches(UserId::new(*id), pepper, &stored.hash);
            matches.then_some(candidate)
        });
        if let Some(chosen) = compared.await? {
            return Ok(Some(chosen));
        }
    }
    Ok(None)
}

/// Seals the address under the person's own new key. Asks the vault, so it comes before the transaction.
async fn prepare(
    identity: &Identity,
    Candidate { pending, address }: &Candidate,
    now: OffsetDateTime,
) -> Result<Prepared, VerifyError> {
    let (stored, key) = PersonKey::create(identity, UserId::new(pending.id), now).await?;
    let place = Column::AccountEmail.of(pending.id, pending.id);
    let email_sealed = key
        .seal(&place, address.typed().as_bytes())
        .expect("an address is short");
    Ok(Prepared {
        key: stored,
        email_sealed,
    })
}
