//! A new entry.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError},
    domain::{
        content::{Content, Draft},
        entry::Entry,
        sealed_entry::SealedEntry,
    },
    store,
};

#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for CreateError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors.clone(),
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Invalid(_) => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Seals and stores a draft as the first revision of a new entry.
pub(crate) async fn create(
    journal: &Journal,
    caller: &Caller,
    draft: Draft,
    now: OffsetDateTime,
) -> Result<Entry, CreateError> {
    let content = Content::parse(draft).map_err(CreateError::Invalid)?;
    let entry = Entry::new(content, now);
    let key = data_key::for_writing(journal, caller, now).await?;
    let sealed = SealedEntry::seal(&entry, caller.user_id(), &key);
    let db = journal.pool.get().await?;
    if !store::entries::insert(&*db, caller.user_id(), &sealed).await? {
        // Erased between the key and the entry.
        return Err(KeyError::Closed.into());
    }
    Ok(entry)
}
