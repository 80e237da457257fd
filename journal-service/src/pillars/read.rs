//! One pillar.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::try_join;

use super::{
    Shown, open, position,
    refusals::{PILLAR_NOT_FOUND, PILLAR_UNREADABLE},
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{pillar::PillarId, sealed_entry::Unopened},
    store,
};

#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("There is no such pillar.")]
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
        INVALID,
        EXPIRED,
        PILLAR_NOT_FOUND,
        PILLAR_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::NotFound => &PILLAR_NOT_FOUND,
            Self::Unreadable(_) => &PILLAR_UNREADABLE,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotFound | Self::Unreadable(_) => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The caller's pillar of that id.
pub(crate) async fn read(
    journal: &Journal,
    caller: &Caller,
    id: PillarId,
    now: OffsetDateTime,
) -> Result<Shown, ReadError> {
    let user = caller.user_id();
    let (stored, row) = {
        let db = journal.pool.get().await?;
        // Both questions travel together: one round trip.
        try_join!(
            data_key::stored(&*db, user),
            store::pillars::find(&*db, user, id)
        )?
    };
    let row = match row {
        Some(row) => row,
        None if matches!(stored, Stored::Closed) => return Err(KeyError::Closed.into()),
        None => return Err(ReadError::NotFound),
    };
    let key = data_key::opened(journal, caller, stored, now).await?;
    let (pillar, current) = open(&row, user, &key).map_err(ReadError::Unreadable)?;
    let db = journal.pool.get().await?;
    Ok(Shown {
        pillar,
        current,
        position: position(&*db, user, &key, id).await?,
    })
}
