//! A person whose password was right shows their second factor, and is logged in.

use secrecy::SecretString;
use shared::{
    access_token::CROSS_SITE,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{
        carrier::Carrier,
        single_use_token::{Purpose, SingleUseToken},
        token_type::NotOurs,
    },
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    mint::{self, Opened, Proven, Withheld},
    refresh::WRONG_TYPE,
    second_factor::{self, NotReady, Proof, Shown, UNREADABLE, Wanted},
    store::mfa_challenges,
};

/// The second half of a login as it came.
pub(crate) struct Attempt {
    pub(crate) mfa_token: SecretString,
    pub(crate) code: Option<SecretString>,
    pub(crate) recovery_code: Option<SecretString>,
    pub(crate) device: Device,
    pub(crate) carrier: Carrier,
}

#[derive(Debug, Error)]
pub(crate) enum VerifyMfaError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    /// Unknown, answered, expired, used up, or of an account that has changed since: a client does the same.
    #[error("Log in again.")]
    InvalidToken,
    #[error("The mfa_token of a login is needed here.")]
    WrongTokenType,
    /// A page of another site asks for cookies.
    #[error("This page may not log anybody in.")]
    CrossSite,
    #[error("The code is wrong, or it was used before.")]
    InvalidCode,
    #[error(transparent)]
    TooManyAttempts(#[from] Locked),
    #[error("Use a recovery code, and set up the authenticator again.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_TOKEN: Case = Case::new(401, "invalid_mfa_token", "The challenge is over");
const INVALID_CODE: Case = Case::new(401, "invalid_mfa_code", "The code is wrong or was used");

impl Failure for VerifyMfaError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID_TOKEN,
        WRONG_TYPE,
        CROSS_SITE,
        INVALID_CODE,
        UNREADABLE,
        TOO_MANY_ATTEMPTS,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::InvalidCode => &INVALID_CODE,
            Self::TooManyAttempts(locked) => locked.case(),
            Self::Unreadable => &UNREADABLE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::TooManyAttempts(locked) => locked.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(error) => vec![error.clone()],
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

impl From<NotOurs> for VerifyMfaError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

impl From<NotReady> for VerifyMfaError {
    fn from(why: NotReady) -> Self {
        match why {
            NotReady::None => Self::InvalidToken,
            NotReady::Unreadable => Self::Unreadable,
            NotReady::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

impl From<Withheld> for VerifyMfaError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::NotAllowed => Self::InvalidToken,
            Withheld::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// Opens the session that the challenge stands for.
pub(crate) async fn verify_mfa(
    identity: &Identity,
    attempt: Attempt,
    now: OffsetDateTime,
) -> Result<Opened, VerifyMfaError> {
    // Asked first: a service that cannot sign yet must not use up a code.
    identity.signing.active()?;
    let proof = Proof::parse(attempt.code.as_ref(), attempt.recovery_code.as_ref())
        .map_err(VerifyMfaError::Invalid)?;
    let amr = proof.amr();
    let token = SingleUseToken::presented(Purpose::SecondFactor, attempt.mfa_token)?;
    let token = token.sought(&identity.secrets);
    let found = mfa_challenges::find(&*identity.pool.get().await?, &token, now).await?;
    let user_id = found.ok_or(VerifyMfaError::InvalidToken)?.user_id;
    let ready = second_factor::prepare(identity, user_id, Wanted::Confirmed, proof, now).await?;
    let sighting = Sighting::of(identity, user_id, attempt.device.clone(), now).await;

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let counted = mfa_challenges::count_try(&transaction, &token, now).await?;
    let challenge = counted.ok_or(VerifyMfaError::InvalidToken)?;
    let shown = ready.show(identity, &transaction, &sighting, now).await?;
    if let Shown::Right = shown {
        mfa_challenges::discard(&transaction, &token).await?;
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    drop(db);
    match shown {
        Shown::Right => {}
        Shown::Wrong => {
            identity.outbox_filled.notify_one();
            return Err(VerifyMfaError::InvalidCode);
        }
        Shown::Locked(locked) => return Err(VerifyMfaError::TooManyAttempts(locked)),
        Shown::Gone => return Err(VerifyMfaError::InvalidToken),
    }
    let proven = Proven {
        user_id,
        epoch: challenge.epoch,
        amr,
        known_device: challenge.known_device,
    };
    Ok(mint::open_session(identity, proven, attempt.device, attempt.carrier, now).await?)
}
