//! The next revision of an entry.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    open,
    pillars::{are_known, with_known},
    refusals::{
        CurrentEntry, ENTRY_NOT_FOUND, ENTRY_UNREADABLE, REVISION_CONFLICT, UNKNOWN_PILLAR,
    },
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        content::{Content, Draft},
        entry::{Entry, EntryId},
        precondition::{Precondition, entity_tag},
        sealed_entry::{SealedEntry, Unopened},
    },
    store,
};

/// What replaces what.
pub(crate) struct Edit {
    pub(crate) id: EntryId,
    pub(crate) draft: Draft,
    pub(crate) precondition: Precondition,
}

#[derive(Debug, Error)]
pub(crate) enum EditError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("There is no such entry.")]
    NotFound,
    #[error("The entry is at revision {0} now; the header ETag names it too.")]
    Conflict(CurrentEntry),
    #[error("What is stored is not what was written; it is kept, and can be deleted.")]
    Unreadable(Unopened),
    #[error("Name only pillars of your own that are still there.")]
    UnknownPillar,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl EditError {
    /// A header that cannot be read.
    pub(crate) fn header(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl Failure for EditError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        ENTRY_NOT_FOUND,
        ENTRY_UNREADABLE,
        UNKNOWN_PILLAR,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &ENTRY_NOT_FOUND,
            Self::Conflict(_) => &REVISION_CONFLICT,
            Self::Unreadable(_) => &ENTRY_UNREADABLE,
            Self::UnknownPillar => &UNKNOWN_PILLAR,
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

    fn entity_tag(&self) -> Option<String> {
        match self {
            Self::Conflict(current) => Some(entity_tag(current.revision)),
            _ => None,
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

/// Replaces the content of the caller's entry. The same content again changes nothing and is never a conflict:
/// a client whose answer was lost may simply repeat.
pub(crate) async fn edit(
    journal: &Journal,
    caller: &Caller,
    edit: Edit,
    now: OffsetDateTime,
) -> Result<Entry, EditError> {
    let content = Content::parse(edit.draft).map_err(EditError::Invalid)?;
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    // The vault is asked before the transaction, which therefore only holds the row while it seals.
    let key = match stored {
        Stored::Nothing => return Err(without_key(journal, caller, edit.id).await?),
        stored => data_key::opened(journal, caller, stored, now).await?,
    };
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let row = store::entries::find_and_lock(&transaction, user, edit.id).await?;
    let row = row.ok_or(EditError::NotFound)?;
    let current = open(&row, user, &key).map_err(EditError::Unreadable)?;
    let current = with_known(&transaction, user, current).await?;
    if current.content == content {
        return Ok(current);
    }
    if !edit.precondition.allows(current.revision) {
        return Err(EditError::Conflict(CurrentEntry::of(current)));
    }
    if !are_known(&transaction, user, &content).await? {
        return Err(EditError::UnknownPillar);
    }
    let next = current.edited(content, now);
    replace(&transaction, caller, (&current, &next), &key).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(next)
}

async fn replace(
    db: &impl tokio_postgres::GenericClient,
    caller: &Caller,
    (current, next): (&Entry, &Entry),
    key: &DataKey,
) -> Result<(), Unexpected> {
    let user = caller.user_id();
    let sealed = SealedEntry::seal(next, user, key);
    store::entry_revisions::keep(db, user, current.id).await?;
    if store::entries::replace(db, user, &sealed, current.revision).await? {
        return Ok(());
    }
    Err(Unexpected::bug(format!(
        "entry {} changed under its lock",
        current.id
    )))
}

/// Who never wrote has no entry of that id; and an entry without a key is a damaged journal.
async fn without_key(
    journal: &Journal,
    caller: &Caller,
    id: EntryId,
) -> Result<EditError, Unexpected> {
    let db = journal.pool.get().await?;
    let row = store::entries::find(&*db, caller.user_id(), id).await?;
    Ok(match row {
        Some(_) => KeyError::Unreadable.into(),
        None => EditError::NotFound,
    })
}
