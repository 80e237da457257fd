//! The next revision of a pillar.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    Shown, open, position,
    refusals::{PILLAR_NOT_FOUND, PILLAR_UNREADABLE, REVISION_CONFLICT},
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        entry::Revision,
        pillar::{PillarContent, PillarDraft, PillarId},
        precondition::{Precondition, entity_tag},
        sealed_entry::Unopened,
        sealed_pillar::SealedPillar,
    },
    store,
};

/// What replaces what.
pub(crate) struct Edit {
    pub(crate) id: PillarId,
    pub(crate) draft: PillarDraft,
    pub(crate) precondition: Precondition,
}

#[derive(Debug, Error)]
pub(crate) enum EditError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("There is no such pillar.")]
    NotFound,
    #[error("The pillar is at revision {0} now; the header ETag names it too.")]
    Conflict(Revision),
    #[error("What is stored is not what was written; it is kept, and can be deleted.")]
    Unreadable(Unopened),
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
        PILLAR_NOT_FOUND,
        PILLAR_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &PILLAR_NOT_FOUND,
            Self::Conflict(_) => &REVISION_CONFLICT,
            Self::Unreadable(_) => &PILLAR_UNREADABLE,
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
            Self::Conflict(current) => Some(entity_tag(*current)),
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

/// Replaces the content of the caller's pillar. The same content again changes nothing and is never a conflict.
pub(crate) async fn edit(
    journal: &Journal,
    caller: &Caller,
    edit: Edit,
    now: OffsetDateTime,
) -> Result<Shown, EditError> {
    let content = PillarContent::parse(edit.draft).map_err(EditError::Invalid)?;
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    // The vault is asked before the transaction, which therefore only holds the row while it seals.
    let key = match stored {
        Stored::Nothing => return Err(without_key(journal, caller, edit.id).await?),
        stored => data_key::opened(journal, caller, stored, now).await?,
    };
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let locked = store::pillars::lock_revision(&transaction, user, edit.id).await?;
    locked.ok_or(EditError::NotFound)?;
    let row = store::pillars::find(&transaction, user, edit.id).await?;
    let row = row.ok_or(EditError::NotFound)?;
    let (before, current) = open(&row, user, &key).map_err(EditError::Unreadable)?;
    let position = position(&transaction, user, &key, edit.id).await?;
    let shown = |pillar| Shown {
        pillar,
        current,
        position,
    };
    if before.content == content {
        return Ok(shown(before));
    }
    if !edit.precondition.allows(before.revision) {
        return Err(EditError::Conflict(before.revision));
    }
    let next = before.edited(content, now);
    let sealed = SealedPillar::seal(&next, user, &key);
    if !store::pillars::replace(&transaction, user, &sealed, before.revision).await? {
        let bug = format!("pillar {} changed under its lock", edit.id);
        return Err(Unexpected::bug(bug).into());
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(shown(next))
}

/// Who never wrote has no pillar of that id; and a pillar without a key is a damaged journal.
async fn without_key(
    journal: &Journal,
    caller: &Caller,
    id: PillarId,
) -> Result<EditError, Unexpected> {
    let db = journal.pool.get().await?;
    let row = store::pillars::find(&*db, caller.user_id(), id).await?;
    Ok(match row {
        Some(_) => KeyError::Unreadable.into(),
        None => EditError::NotFound,
    })
}
