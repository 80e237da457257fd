//! How the three operations fail.

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    service_token::{NotSpent, OTHER_REQUEST, SPENT},
};
use thiserror::Error;

use crate::data_key::ACCOUNT_CLOSED;

/// Why a journal was not closed or erased.
#[derive(Debug, Error)]
pub(crate) enum ClosureError {
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ClosureError {
    const CASES: &'static [Case] = NotSpent::CASES;

    fn case(&self) -> &'static Case {
        match self {
            Self::NotSpent(why) => why.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Why a journal was not opened again.
#[derive(Debug, Error)]
pub(crate) enum ReopenError {
    #[error(transparent)]
    Closure(#[from] ClosureError),
    #[error("The entries of this journal have been deleted.")]
    Erased,
}

impl Failure for ReopenError {
    const CASES: &'static [Case] = &[OTHER_REQUEST, SPENT, ACCOUNT_CLOSED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Closure(error) => error.case(),
            Self::Erased => &ACCOUNT_CLOSED,
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Closure(error) => error.unexpected(),
            Self::Erased => None,
        }
    }
}
