//! An entry as it was: every revision that is kept, the newest first.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{list::Unreadable, open, pillars::known, refusals::ENTRY_NOT_FOUND};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::entry::{Entry, EntryId, Revision},
    store::entry_revisions,
};

/// Sealed bytes of one page; the first row always is taken.
const PAGE_BYTES: i64 = 4 << 20;

/// Which revisions a client asks for.
pub(crate) struct WantedRevisions {
    pub(crate) id: EntryId,
    /// Only those before this one.
    pub(crate) before: Option<i64>,
    /// Revisions at most.
    pub(crate) limit: u32,
}

/// One page of revisions.
pub(crate) struct Revisions {
    pub(crate) entries: Vec<Entry>,
    pub(crate) unreadable: Vec<Unreadable>,
    /// The revision to go on before, when there are more.
    pub(crate) next: Option<Revision>,
}

#[derive(Debug, Error)]
pub(crate) enum RevisionsError {
    #[error("See errors for what is wrong and where.")]
    Invalid,
    #[error("There is no such entry.")]
    NotFound,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for RevisionsError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        ENTRY_NOT_FOUND,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid => &INVALID_REQUEST,
            Self::NotFound => &ENTRY_NOT_FOUND,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid => vec![FieldError::new("query:before", "is not a revision")],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Invalid | Self::NotFound => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The revisions of the caller's entry. One that does not open hides none of the others.
pub(crate) async fn list_revisions(
    journal: &Journal,
    caller: &Caller,
    wanted: WantedRevisions,
    now: OffsetDateTime,
) -> Result<Revisions, RevisionsError> {
    let user = caller.user_id();
    let before = wanted
        .before
        .map(|number| Revision::new(number).ok_or(RevisionsError::Invalid));
    let before = before.transpose()?;
    let (stored, page) = {
        let db = journal.pool.get().await?;
        let stored = data_key::stored(&*db, user).await?;
        let bounds = (wanted.limit, PAGE_BYTES);
        (
            stored,
            entry_revisions::before(&*db, user, wanted.id, before, bounds).await?,
        )
    };
    let is_closed = matches!(stored, Stored::Closed);
    // Before the first revision there is nothing; who asks for it has had a page.
    if page.rows.is_empty() && !is_closed {
        return Err(RevisionsError::NotFound);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let mut revisions = Revisions {
        entries: Vec::new(),
        unreadable: Vec::new(),
        next: page
            .rows
            .last()
            .filter(|_| page.more)
            .map(|row| row.revision),
    };
    for row in &page.rows {
        match open(row, user, &key) {
            Ok(entry) => revisions.entries.push(entry),
            Err(_) => revisions.unreadable.push(Unreadable::of(row)),
        }
    }
    let known = known(journal, user, revisions.entries.iter()).await?;
    let entries = revisions.entries.into_iter();
    revisions.entries = entries
        .map(|entry| entry.with_pillars_among(&known))
        .collect();
    Ok(revisions)
}
