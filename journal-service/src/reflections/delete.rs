//! A feel or a note goes. It is not looked at, so that one which does not open can go too.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;

use super::refusals::{REFLECTION_NOT_FOUND, REVISION_CONFLICT};
use crate::{
    Journal,
    data_key::ACCOUNT_CLOSED,
    domain::{
        entry::Revision,
        precondition::{Precondition, entity_tag},
        reflection::Slot,
    },
    store::{closed_journals, reflections},
};

#[derive(Debug, Error)]
pub(crate) enum DeleteError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("Nothing was written here.")]
    NotFound,
    #[error("The account is closed; nothing of this journal can be read or written.")]
    Closed,
    #[error("Another revision is there now; the header ETag names it.")]
    Conflict(Revision),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for DeleteError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        REFLECTION_NOT_FOUND,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &REFLECTION_NOT_FOUND,
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
            Self::Conflict(current) => Some(entity_tag(*current)),
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

/// Deletes what the caller wrote there, if it is still what the precondition names.
pub(crate) async fn delete(
    journal: &Journal,
    caller: &Caller,
    slot: Slot,
    precondition: Precondition,
) -> Result<(), DeleteError> {
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    if closed_journals::is_closed(&*db, user).await? {
        return Err(DeleteError::Closed);
    }
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let current = reflections::lock_revision(&transaction, user, slot).await?;
    let current = current.ok_or(DeleteError::NotFound)?;
    if !precondition.allows(current) {
        return Err(DeleteError::Conflict(current));
    }
    reflections::delete(&transaction, user, slot).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
