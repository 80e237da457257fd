//! An entry goes. Its content is not looked at, so that one which does not open can go too.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    open,
    pillars::known,
    refusals::{CurrentEntry, ENTRY_NOT_FOUND, REVISION_CONFLICT},
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED},
    domain::{
        entry::{Entry, EntryId},
        precondition::{Precondition, entity_tag},
        sealed_entry::SealedEntry,
    },
    store,
};

#[derive(Debug, Error)]
pub(crate) enum DeleteError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("There is no such entry.")]
    NotFound,
    #[error("The account is closed; nothing of this journal can be read or written.")]
    Closed,
    #[error("The entry is at revision {0} now; the header ETag names it too.")]
    Conflict(CurrentEntry),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl DeleteError {
    /// A header that cannot be read.
    pub(crate) fn header(error: FieldError) -> Self {
        Self::Invalid(error)
    }
}

impl Failure for DeleteError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        ENTRY_NOT_FOUND,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &ENTRY_NOT_FOUND,
            Self::Closed => &ACCOUNT_CLOSED,
            Self::Conflict(_) => &REVISION_CONFLICT,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(error) => vec![error.clone()],
            _ => Vec::new(),
        }
    }

    fn entity_tag(&self) -> Option<String> {
        match self {
            Self::Conflict(current) => Some(entity_tag(current.revision)),
            _ => None,
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// Deletes the caller's entry, if it is still what the precondition names.
pub(crate) async fn delete(
    journal: &Journal,
    caller: &Caller,
    id: EntryId,
    precondition: Precondition,
    now: OffsetDateTime,
) -> Result<(), DeleteError> {
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    if store::closed_journals::is_closed(&*db, user).await? {
        return Err(DeleteError::Closed);
    }
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let current = store::entries::lock_revision(&transaction, user, id).await?;
    let current = current.ok_or(DeleteError::NotFound)?;
    if precondition.allows(current) {
        store::entries::delete(&transaction, user, id).await?;
        transaction.commit().await.map_err(Unexpected::from)?;
        return Ok(());
    }
    // Still locked, so this is the revision that was compared.
    let row = store::entries::find(&transaction, user, id).await?;
    transaction.rollback().await.map_err(Unexpected::from)?;
    drop(db);
    let row = row.ok_or_else(|| Unexpected::bug(format!("entry {id} left under its lock")))?;
    let revision = row.revision;
    let entry = opened(journal, caller, &row, now).await.map(Box::new);
    Err(DeleteError::Conflict(CurrentEntry { revision, entry }))
}

/// Deleting needs no key, so that an entry which cannot be opened now is named and not shown.
async fn opened(
    journal: &Journal,
    caller: &Caller,
    row: &SealedEntry,
    now: OffsetDateTime,
) -> Option<Entry> {
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await.ok()?, user).await;
    let key = data_key::opened(journal, caller, stored.ok()?, now).await;
    let key = key.ok()?;
    let entry = open(row, user, &key).ok()?;
    let known = known(journal, user, [&entry].into_iter()).await.ok()?;
    Some(entry.with_pillars_among(&known))
}
