//! Entries page by page: the newest day first.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::{Date, OffsetDateTime, macros::date};
use tokio::try_join;

use super::{open, pillars::known};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        cursor::Position,
        entry::{Entry, EntryId, Revision},
        pillar::PillarId,
        sealed_entry::SealedEntry,
        search::Found,
    },
    store::entries::{Page, PageQuery, page},
};

/// Sealed bytes of one page, so that a page of the longest entries stays small: about four of those.
const PAGE_BYTES: i64 = 4 << 20;
/// Older than every entry, and a day that Postgres knows.
const BEFORE_ALL: Date = date!(0000 - 12 - 31);

/// Which part of the journal a client asks for.
pub(crate) struct Wanted {
    /// First day, inclusive.
    pub(crate) from: Option<Date>,
    /// Last day, inclusive.
    pub(crate) to: Option<Date>,
    /// The cursor of the page before.
    pub(crate) after: Option<String>,
    /// Entries at most.
    pub(crate) limit: u32,
}

impl Wanted {
    /// The rows of those days, from the first.
    pub(super) fn days(&self) -> PageQuery {
        PageQuery {
            from: self.from.unwrap_or(BEFORE_ALL).max(BEFORE_ALL),
            to: self.to.unwrap_or(Date::MAX).max(BEFORE_ALL),
            after: Position::START,
            rows: self.limit,
            bytes: PAGE_BYTES,
        }
    }
}

/// An entry, and where it holds what was looked for, if anything was.
pub(crate) struct Shown {
    pub(crate) entry: Entry,
    pub(crate) found: Option<Found>,
}

impl Shown {
    fn with_pillars_among(self, known: &[PillarId]) -> Self {
        Self {
            entry: self.entry.with_pillars_among(known),
            ..self
        }
    }
}

/// One page.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Shown>,
    /// What belongs on this page and does not open. One damaged row must neither hide nor be hidden by the rest.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<String>,
}

/// What the row of an unreadable entry says in clear.
pub(crate) struct Unreadable {
    pub(crate) id: EntryId,
    pub(crate) date: Date,
    pub(crate) revision: Revision,
}

impl Unreadable {
    pub(super) fn of(row: &SealedEntry) -> Self {
        Self {
            id: row.id,
            date: row.date,
            revision: row.revision,
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum ListError {
    #[error("The cursor in `after` is none that this list gave to this person.")]
    InvalidCursor,
    #[error("See errors for what is wrong and where.")]
    Question(FieldError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ListError {
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
            Self::InvalidCursor | Self::Question(_) => &INVALID_REQUEST,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidCursor => vec![FieldError::new(
                "query:after",
                "is not a cursor of this list",
            )],
            Self::Question(error) => vec![error.clone()],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::InvalidCursor | Self::Question(_) => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The caller's entries of those days, after that cursor.
pub(crate) async fn list(
    journal: &Journal,
    caller: &Caller,
    wanted: Wanted,
    now: OffsetDateTime,
) -> Result<Listed, ListError> {
    let user = caller.user_id();
    let query = wanted.days();
    if let Some(cursor) = wanted.after {
        return continued(journal, caller, &cursor, query, now).await;
    }
    let (stored, page) = {
        let db = journal.pool.get().await?;
        // Both questions travel together: one round trip.
        try_join!(data_key::stored(&*db, user), page(&*db, user, &query))?
    };
    if page.rows.is_empty() && !matches!(stored, Stored::Closed) {
        return Ok(Listed::default());
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    with_known_pillars(journal, user, opened(user, &key, &page)).await
}

/// A cursor opens only with the key, so here the rows wait for the vault.
async fn continued(
    journal: &Journal,
    caller: &Caller,
    cursor: &str,
    query: PageQuery,
    now: OffsetDateTime,
) -> Result<Listed, ListError> {
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    // Who never wrote was never given a cursor.
    if let Stored::Nothing = stored {
        return Err(ListError::InvalidCursor);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let after = Position::open(cursor, user, &key).ok_or(ListError::InvalidCursor)?;
    let query = PageQuery { after, ..query };
    let page = page(&*journal.pool.get().await?, user, &query).await?;
    with_known_pillars(journal, user, opened(user, &key, &page)).await
}

async fn with_known_pillars(
    journal: &Journal,
    user: UserId,
    mut listed: Listed,
) -> Result<Listed, ListError> {
    let entries = listed.entries.iter().map(|shown| &shown.entry);
    let known = known(journal, user, entries).await?;
    let shown = listed.entries.into_iter();
    listed.entries = shown
        .map(|shown| shown.with_pillars_among(&known))
        .collect();
    Ok(listed)
}

fn opened(user: UserId, key: &DataKey, page: &Page) -> Listed {
    let mut listed = Listed::default();
    for row in &page.rows {
        match open(row, user, key) {
            Ok(entry) => listed.entries.push(Shown { entry, found: None }),
            Err(_) => listed.unreadable.push(Unreadable::of(row)),
        }
    }
    let last = page.rows.last().filter(|_| page.more);
    listed.next = last.map(|row| {
        Position {
            date: row.date,
            id: row.id,
        }
        .seal(user, key)
    });
    listed
}
