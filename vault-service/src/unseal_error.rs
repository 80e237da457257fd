//! Why the vault does not open.

use std::time::Duration as Pause;

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    service_token::{NotSpent, OTHER_REQUEST, SPENT},
};
use thiserror::Error;
use time::Duration;

use crate::{
    domain::{limits::Reached, policy::Denied},
    limits::CALLER_LIMITED,
    open_vault::NotOpened,
    refusals::{NOT_ALLOWED, denied},
};

const REFUSED: Case = Case::new(403, "unseal_refused", "This does not open the vault");
const OTHER_OPENER: Case = Case::new(409, "other_opener", "The vault is opened by something else");
const UNUSABLE: Case = Case::new(
    409,
    "keyring_unusable",
    "The master keys cannot be used; the log of the vault says why",
);
const WAIT: Case = Case::new(429, "unseal_limited", "Too many wrong attempts");

#[derive(Debug, Error)]
pub(crate) enum UnsealError {
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error("{0}")]
    Refused(&'static str),
    #[error("See GET /v1/seal-status.")]
    OtherOpener,
    #[error("Nothing was changed.")]
    Unusable(String),
    #[error("Wrong attempts make everybody wait.")]
    Wait(Duration),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl UnsealError {
    /// The stable word for it, as the audit has it.
    pub(crate) fn code(&self) -> &'static str {
        self.case().code
    }
}

impl From<NotOpened> for UnsealError {
    fn from(why: NotOpened) -> Self {
        let told = match why {
            NotOpened::Unexpected(error) => return Self::Unexpected(error),
            NotOpened::WrongKeys(wrong) => wrong.to_string(),
            NotOpened::Tombstones(why) => why.to_string(),
        };
        tracing::error!(why = told, "the master keys were opened and cannot be used");
        Self::Unusable(told)
    }
}

impl Failure for UnsealError {
    const CASES: &'static [Case] = &[
        NOT_ALLOWED,
        REFUSED,
        OTHER_REQUEST,
        SPENT,
        OTHER_OPENER,
        UNUSABLE,
        WAIT,
        CALLER_LIMITED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Limited(reached) => reached.case(),
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Refused(_) => &REFUSED,
            Self::OtherOpener => &OTHER_OPENER,
            Self::Unusable(_) => &UNUSABLE,
            Self::Wait(_) => &WAIT,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Pause> {
        match self {
            Self::Wait(wait) => Pause::try_from(*wait).ok(),
            Self::Limited(reached) => Failure::retry_after(reached),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}
