//! What has changed since a client last asked: every record once, at the place of its latest change.
//!
//! Numbers come from a row of the person that stays locked until the writing transaction ends (see the migration), so that
//! whoever sees a number sees all below it: nothing appears behind a cursor later. A record that changes while a client
//! reads moves behind the cursor, to where it is still to come; the one that it has read is the one that was.

use std::collections::HashMap;

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        change_cursor::ChangePlace, entry::Entry, pillar::PillarId, record::Kind,
        sealed_entry::SealedEntry,
    },
    entries::{open, pillars::known},
    store::{
        changes::{self, Counter, Noted},
        entries,
    },
};

/// Sealed bytes of one page; its first record always is taken.
const PAGE_BYTES: i64 = 4 << 20;

/// Which changes a client asks for.
pub(crate) struct Wanted {
    /// The cursor of the page before; everything without it.
    pub(crate) since: Option<String>,
    /// Changes at most.
    pub(crate) limit: u32,
}

/// One page.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) changes: Vec<Change>,
    /// Where to go on, now or later. `None` while there is nothing to go on from.
    pub(crate) next: Option<String>,
    /// Whether there is more already.
    pub(crate) more: bool,
}

/// A record and what has become of it.
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) state: State,
}

pub(crate) enum State {
    /// It is there, and this is how.
    Entry(Box<Entry>),
    /// It is there and does not open.
    Unreadable,
    Deleted(OffsetDateTime),
}

impl Change {
    fn entry(&self) -> Option<&Entry> {
        match &self.state {
            State::Entry(entry) => Some(entry),
            State::Unreadable | State::Deleted(_) => None,
        }
    }

    fn with_pillars_among(self, known: &[PillarId]) -> Self {
        let state = match self.state {
            State::Entry(entry) => State::Entry(Box::new(entry.with_pillars_among(known))),
            other => other,
        };
        Self { state, ..self }
    }
}

#[derive(Debug, Error)]
pub(crate) enum ChangesError {
    #[error("The cursor in `since` is none that this operation gave to this person.")]
    InvalidCursor,
    #[error("Begin again without `since`, and forget what is not in the answers.")]
    CursorExpired,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const CURSOR_EXPIRED: Case = Case::new(
    410,
    "cursor_expired",
    "The journal was restored from a backup since",
);

impl Failure for ChangesError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        CURSOR_EXPIRED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidCursor => &INVALID_REQUEST,
            Self::CursorExpired => &CURSOR_EXPIRED,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidCursor => vec![FieldError::new(
                "query:since",
                "is not a cursor of this operation",
            )],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::InvalidCursor | Self::CursorExpired => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The changes of the caller's journal since that cursor, oldest first.
pub(crate) async fn list_changes(
    journal: &Journal,
    caller: &Caller,
    wanted: Wanted,
    now: OffsetDateTime,
) -> Result<Listed, ChangesError> {
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    if let Stored::Nothing = stored {
        // Who never wrote was never given a cursor.
        let cursor = wanted.since.as_ref();
        return cursor.map_or(Ok(Listed::default()), |_| Err(ChangesError::InvalidCursor));
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let since = wanted.since.as_deref();
    let since = since
        .map(|cursor| ChangePlace::open(cursor, user, &key).ok_or(ChangesError::InvalidCursor));
    let since = since.transpose()?;
    let page = read(journal, user, since, wanted.limit).await?;
    let Some(place) = page.place else {
        return Ok(Listed::default());
    };
    let more = page.more;
    let changes = shown(page, user, &key);
    let entries = changes.iter().filter_map(Change::entry);
    let pillars = known(journal, user, entries).await?;
    let changes = changes.into_iter();
    let changes = changes.map(|change| change.with_pillars_among(&pillars));
    Ok(Listed {
        next: Some(place.seal(user, &key)),
        more,
        changes: changes.collect(),
    })
}

/// What Postgres has of a page, all of one moment.
#[derive(Default)]
struct Page {
    noted: Vec<Noted>,
    entries: HashMap<Uuid, SealedEntry>,
    /// The last of them.
    place: Option<ChangePlace>,
    more: bool,
}

/// In one snapshot, so that no record is newer than its place, or gone from it.
async fn read(
    journal: &Journal,
    user: UserId,
    since: Option<ChangePlace>,
    limit: u32,
) -> Result<Page, ChangesError> {
    let mut db = journal.pool.get().await?;
    let snapshot = db
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start();
    let snapshot = snapshot.await.map_err(Unexpected::from)?;
    let counter = changes::counter(&snapshot, user).await?;
    let Some(counter) = counter else {
        return since.map_or(Ok(Page::default()), |_| Err(ChangesError::CursorExpired));
    };
    let since = started(since, counter)?;
    let mut noted = changes::after(&snapshot, user, since.number, limit.saturating_add(1)).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut more = noted.len() > limit;
    noted.truncate(limit);
    let ids = noted.iter().filter_map(entry_id).collect();
    let found = entries::named_page(&snapshot, user, ids, PAGE_BYTES).await?;
    if let Some(first_left) = found.left {
        let taken = noted.iter().position(|it| entry_id(it) == Some(first_left));
        noted.truncate(taken.unwrap_or(noted.len()));
        more = true;
    }
    let number = noted.last().map_or(since.number, |last| last.number);
    Ok(Page {
        noted,
        entries: found
            .rows
            .into_iter()
            .map(|row| (row.id.uuid(), row))
            .collect(),
        place: Some(ChangePlace { number, ..since }),
        more,
    })
}

/// A place beyond the end, or of another epoch, is of a journal that is not this one any more.
fn started(since: Option<ChangePlace>, counter: Counter) -> Result<ChangePlace, ChangesError> {
    let start = ChangePlace {
        epoch: counter.epoch,
        number: 0,
    };
    let since = since.unwrap_or(start);
    if since.epoch != counter.epoch || since.number > counter.last {
        return Err(ChangesError::CursorExpired);
    }
    Ok(since)
}

/// The id of an entry that is there.
fn entry_id(noted: &Noted) -> Option<Uuid> {
    let is_entry = matches!(noted.kind, Kind::Entry) && noted.deleted_at.is_none();
    is_entry.then(|| noted.record.parse().ok()).flatten()
}

fn shown(page: Page, user: UserId, key: &DataKey) -> Vec<Change> {
    let Page { noted, entries, .. } = page;
    let shown = noted.into_iter().map(|noted| {
        let row = entry_id(&noted).and_then(|id| entries.get(&id));
        // One that is not where it is noted was taken away by something else than this service.
        let opened = row.and_then(|row| open(row, user, key).ok());
        let state = match (noted.deleted_at, opened) {
            (Some(at), _) => State::Deleted(at),
            (None, Some(entry)) => State::Entry(Box::new(entry)),
            (None, None) => State::Unreadable,
        };
        Change {
            kind: noted.kind,
            id: noted.record,
            state,
        }
    });
    shown.collect()
}
