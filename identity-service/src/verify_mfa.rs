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
    lockout::TOO_MANY_ATTEMPTS,
    mint::{self, Opened, Proven, Withheld},
    refresh::WRONG_TYPE,
    second_factor::{self, NotShown, Proof, UNREADABLE, Wanted},
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
    NotShown(NotShown),
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
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::InvalidCode => &INVALID_CODE,
            Self::NotShown(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NotShown(why) => why.retry_after(),
            _ => None,
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::NotShown(why) => why.errors(),
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotShown(why) => why.unexpected(),
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

impl From<NotShown> for VerifyMfaError {
    fn from(why: NotShown) -> Self {
        match why {
            NotShown::Absent => Self::InvalidToken,
            NotShown::Wrong => Self::InvalidCode,
            why => Self::NotShown(why),
        }
    }
}

impl From<Unexpected> for VerifyMfaError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotShown(unexpected.into())
    }
}

impl From<Withheld> for VerifyMfaError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::NotAllowed => Self::InvalidToken,
            Withheld::Unexpected(unexpected) => unexpected.into(),
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
    let proof = Proof::parse(attempt.code.as_ref(), attempt.recovery_code.as_ref())?;
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
    let shown = ready.show(identity, &transaction, &sighting, now).await;
    if shown.is_ok() {
        mfa_challenges::discard(&transaction, &token).await?;
    }
    let concluded = second_factor::conclude(transaction, shown).await;
    drop(db);
    identity.outbox_filled.notify_one();
    concluded?;
    let proven = Proven {
        user_id,
        epoch: challenge.epoch,
        amr,
        known_device: challenge.known_device,
    };
    Ok(mint::open_session(identity, proven, attempt.device, attempt.carrier, now).await?)
}
