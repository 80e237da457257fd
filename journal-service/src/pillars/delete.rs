//! A pillar goes, and its scores with it. Nothing is looked at, so that one which does not open can
//! go too. Entries that name it stay, and name it no more.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;

use super::refusals::{PILLAR_NOT_FOUND, REVISION_CONFLICT};
use crate::{
    Journal,
    data_key::ACCOUNT_CLOSED,
    domain::{
        entry::Revision,
        pillar::PillarId,
        precondition::{Precondition, entity_tag},
    },
    store,
};

#[derive(Debug, Error)]
pub(crate) enum DeleteError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error("There is no such pillar.")]
    NotFound,
    #[error("The account is closed; nothing of this journal can be read or written.")]
    Closed,
    #[error("The pillar is at revision {0} now; the header ETag names it too.")]
    Conflict(Revision),
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
        PILLAR_NOT_FOUND,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &PILLAR_NOT_FOUND,
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

/// Deletes the caller's pillar, if it is still what the precondition names.
pub(crate) async fn delete(
    journal: &Journal,
    caller: &Caller,
    id: PillarId,
    precondition: Precondition,
) -> Result<(), DeleteError> {
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    if store::closed_journals::is_closed(&*db, user).await? {
        return Err(DeleteError::Closed);
    }
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let current = store::pillars::lock_revision(&transaction, user, id).await?;
    let current = current.ok_or(DeleteError::NotFound)?;
    if !precondition.allows(current) {
        return Err(DeleteError::Conflict(current));
    }
    store::pillars::delete(&transaction, user, id).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
