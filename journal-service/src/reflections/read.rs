//! One feel.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::{Date, OffsetDateTime};
use tokio::try_join;

use super::{
    open,
    refusals::{REFLECTION_NOT_FOUND, REFLECTION_UNREADABLE},
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        reflection::{Reflection, Slot, Written},
        sealed_entry::Unopened,
    },
    store::reflections,
};

#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("Nothing was written here.")]
    NotFound,
    #[error("What is stored is not what was written; nothing of it can be shown.")]
    Unreadable(Unopened),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ReadError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        REFLECTION_NOT_FOUND,
        REFLECTION_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &REFLECTION_NOT_FOUND,
            Self::Unreadable(_) => &REFLECTION_UNREADABLE,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
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
            Self::Invalid(_) | Self::NotFound | Self::Unreadable(_) => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// What the caller wrote there.
pub(crate) async fn read<C: Written>(
    journal: &Journal,
    caller: &Caller,
    date: Date,
    now: OffsetDateTime,
) -> Result<Reflection<C>, ReadError> {
    let slot = Slot::of(C::KIND, date).map_err(ReadError::Invalid)?;
    let user = caller.user_id();
    let (stored, row) = {
        let db = journal.pool.get().await?;
        // Both questions travel together: one round trip.
        try_join!(
            data_key::stored(&*db, user),
            reflections::find(&*db, user, slot)
        )?
    };
    let row = match row {
        Some(row) => row,
        None if matches!(stored, Stored::Closed) => return Err(KeyError::Closed.into()),
        None => return Err(ReadError::NotFound),
    };
    let key = data_key::opened(journal, caller, stored, now).await?;
    open(&row, user, &key).map_err(ReadError::Unreadable)
}
