//! What has changed since a client last asked: every record once, at the place of its latest change.
//!
//! Numbers come from a row of the person that stays locked until the writing transaction ends (see the migration), so that
//! whoever sees a number sees all below it: nothing appears behind a cursor later. A record that changes while a client
//! reads moves behind the cursor, to where it is still to come; the one that it has read is the one that was.

use std::{collections::HashMap, sync::Arc};

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::try_join;
use tokio_postgres::{IsolationLevel, Transaction};
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        change_cursor::ChangePlace,
        pillar_order::SealedOrder,
        record::{Key, Kind, Record, key_of, slot_of},
    },
    pillars::open_order,
    rows::{Row, blocking},
    store::{
        changes::{self, Counter, Noted},
        entries, pillar_orders, pillar_scores, pillars, reflections,
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
    /// It is there, and this is how. An entry names every pillar that it was written with: one that is deleted may come back,
    /// and then nothing of the entry has changed.
    Written(Record),
    /// It is there and does not open.
    Unreadable,
    Deleted(OffsetDateTime),
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
    let opening = Arc::clone(&key);
    let changes = blocking(move || shown(page, user, &opening)).await?;
    Ok(Listed {
        next: Some(place.seal(user, &key)),
        more,
        changes,
    })
}

/// What Postgres has of a page, all of one moment.
#[derive(Default)]
struct Page {
    noted: Vec<Noted>,
    rows: HashMap<Key, Row>,
    order: Option<SealedOrder>,
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
    let ids = noted.iter().filter_map(|it| id(it, Kind::Entry)).collect();
    let found = entries::named_page(&snapshot, user, ids, PAGE_BYTES).await?;
    if let Some(first_left) = found.left {
        let is_left = |it: &Noted| id(it, Kind::Entry) == Some(first_left);
        let taken = noted.iter().position(is_left);
        noted.truncate(taken.unwrap_or(noted.len()));
        more = true;
    }
    let number = noted.last().map_or(since.number, |last| last.number);
    let (others, order) = others(&snapshot, user, &noted).await?;
    let rows = others.chain(found.rows.into_iter().map(Row::Entry));
    Ok(Page {
        rows: rows.map(|row| (row.key(), row)).collect(),
        noted,
        order,
        place: Some(ChangePlace { number, ..since }),
        more,
    })
}

/// The records of a page that are no entries; none of them is longer than 40 KiB.
async fn others(
    snapshot: &Transaction<'_>,
    user: UserId,
    noted: &[Noted],
) -> Result<(impl Iterator<Item = Row> + use<>, Option<SealedOrder>), Unexpected> {
    let ids = |kind| {
        noted
            .iter()
            .filter_map(move |it| id(it, kind))
            .collect::<Vec<_>>()
    };
    let (pillars, scores) = (ids(Kind::Pillar), ids(Kind::Score));
    let slots = noted.iter().filter(|it| it.deleted_at.is_none());
    let slots: Vec<_> = slots
        .filter_map(|it| slot_of(it.kind, &it.record))
        .collect();
    let (pillars, scores, reflections, order) = try_join!(
        pillars::named_rows(snapshot, user, &pillars),
        pillar_scores::named_rows(snapshot, user, &scores),
        reflections::named_rows(snapshot, user, &slots),
        pillar_orders::find(snapshot, user),
    )?;
    let rows = pillars.into_iter().map(Row::Pillar);
    let rows = rows.chain(scores.into_iter().map(Row::Score));
    Ok((
        rows.chain(reflections.into_iter().map(Row::Reflection)),
        order,
    ))
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

/// The id of a record of that kind that is there.
fn id(noted: &Noted, kind: Kind) -> Option<Uuid> {
    let is_one = noted.kind == kind && noted.deleted_at.is_none();
    is_one.then(|| noted.record.parse().ok()).flatten()
}

/// The key of a record that is there.
fn key(noted: &Noted) -> Option<Key> {
    let slot = slot_of(noted.kind, &noted.record).map(key_of);
    slot.or_else(|| Some((noted.kind, id(noted, noted.kind)?)))
}

fn shown(page: Page, user: UserId, opening: &DataKey) -> Vec<Change> {
    let Page {
        noted, rows, order, ..
    } = page;
    let shown = noted.into_iter().map(|noted| {
        // One that is not where it is noted was taken away by something else than this service.
        let opened = if noted.kind == Kind::PillarOrder {
            let order = order.as_ref().map(|it| open_order(Some(it), user, opening));
            order.and_then(Result::ok).map(Record::PillarOrder)
        } else {
            let row = key(&noted).and_then(|key| rows.get(&key));
            row.and_then(|row| row.open(user, opening).ok())
        };
        let state = match (noted.deleted_at, opened) {
            (Some(at), _) => State::Deleted(at),
            (None, Some(record)) => State::Written(record),
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
