//! A feel or a note is written, or replaced.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::{Date, OffsetDateTime};

use super::{
    open,
    refusals::{REFLECTION_UNREADABLE, REVISION_CONFLICT},
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError},
    domain::{
        entry::Revision,
        precondition::{Precondition, entity_tag_or_none},
        reflection::{Reflection, Slot, Written},
        sealed_entry::Unopened,
        sealed_reflection::SealedReflection,
    },
    store::{data_keys, reflections},
};

#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("Another revision is there now, or none; the header ETag names it.")]
    Conflict(Option<Revision>),
    #[error("What is stored is not what was written; it is kept, and can be deleted.")]
    Unreadable(Unopened),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl WriteError {
    /// A parameter that cannot be read.
    pub(crate) fn parameter(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

impl Failure for WriteError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        REFLECTION_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        REVISION_CONFLICT,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Conflict(_) => &REVISION_CONFLICT,
            Self::Unreadable(_) => &REFLECTION_UNREADABLE,
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
            Self::Conflict(current) => Some(entity_tag_or_none(*current)),
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

/// Writes what the caller says of that day, in the place of what they said before. The same again changes nothing and is
/// never a conflict.
pub(crate) async fn write<C: Written>(
    journal: &Journal,
    caller: &Caller,
    (date, content): (Date, C),
    precondition: Precondition,
    now: OffsetDateTime,
) -> Result<Reflection<C>, WriteError> {
    let slot = Slot::of(C::KIND, date).map_err(WriteError::parameter)?;
    let errors = content.errors();
    if !errors.is_empty() {
        return Err(WriteError::Invalid(errors));
    }
    // The vault is asked before the transaction, which therefore only holds the person's key while it seals.
    let key = data_key::for_writing(journal, caller, now).await?.key;
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // One after another, the first one of a day too, of which there is no row to lock.
    if !data_keys::hold(&transaction, user).await? {
        return Err(KeyError::Closed.into());
    }
    let row = reflections::find(&transaction, user, slot).await?;
    let current = row.map(|row| open::<C>(&row, user, &key)).transpose();
    let current = current.map_err(WriteError::Unreadable)?;
    let next = match current {
        Some(current) if current.content == content => return Ok(current),
        Some(current) if precondition.allows(current.revision) => current.edited(content, now),
        None if precondition.allows_nothing() => Reflection::new(date, content, now),
        current => return Err(WriteError::Conflict(current.map(|it| it.revision))),
    };
    let sealed = SealedReflection::seal(&next, user, &key);
    reflections::replace(&transaction, user, &sealed).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(next)
}
