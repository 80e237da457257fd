//! How an import fails.

use std::time::Duration;

use shared::{
    access_token::{EXPIRED, INVALID},
    problem::{
        Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, MALFORMED_REQUEST, OVERLOADED,
        PAYLOAD_TOO_LARGE, REQUEST_TIMEOUT, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, Unexpected,
    },
    serve::BodyRefused,
};
use thiserror::Error;

use crate::data_key::{ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError};

/// Why nothing was imported.
#[derive(Debug, Error)]
pub(crate) enum ImportError {
    #[error("Send Content-Type: application/x-ndjson.")]
    MediaType,
    #[error(
        "Nothing was stored. See errors for what is wrong and in which lines; of more than 100, for the first."
    )]
    Refused(Vec<FieldError>),
    #[error("Wait until it has ended.")]
    InProgress,
    #[error(
        "What the file has came, or a pillar went, while it was read. Nothing was stored; try again."
    )]
    Changed,
    #[error("Try again in a moment.")]
    Overloaded,
    #[error(transparent)]
    Body(#[from] BodyRefused),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const REFUSED: Case = Case::new(
    400,
    "import_refused",
    "The file is no journal that can be taken",
);
const IN_PROGRESS: Case = Case::new(
    409,
    "import_in_progress",
    "Another import into this journal is under way",
);

const CHANGED: Case = Case::new(
    409,
    "journal_changed",
    "The journal has changed while the file was read",
);

impl Failure for ImportError {
    const CASES: &'static [Case] = &[
        REFUSED,
        INVALID_REQUEST,
        MALFORMED_REQUEST,
        INVALID,
        EXPIRED,
        REQUEST_TIMEOUT,
        IN_PROGRESS,
        CHANGED,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        INTERNAL,
        UNAVAILABLE,
        OVERLOADED,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::MediaType => &UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(_) => &REFUSED,
            Self::InProgress => &IN_PROGRESS,
            Self::Changed => &CHANGED,
            Self::Overloaded => &OVERLOADED,
            Self::Body(refused) => refused.case(),
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(Duration::from_secs(1)),
            Self::Body(refused) => refused.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Refused(errors) => errors.clone(),
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}
