//! All of a journal, a few records at a time.
//!
//! No snapshot is held: a client may take minutes, and Postgres would keep every old row for as long. Records are read kind by
//! kind in the order of their ids, which no edit changes, so each that is there all the while comes exactly once, as it is when it is
//! read; one that is written or deleted meanwhile may come or not. Behind some entries comes what they were before: only revisions
//! below those that were read, however often they are edited meanwhile.

use std::{mem, sync::Arc};

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, INTERNAL, INVALID_REQUEST, OVERLOADED, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::try_join;
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        entry::{EntryId, Revision},
        journal_file::Item,
        pillar::PillarId,
        pillar_order::{SealedOrder, ordered},
        record::Record,
        reflection,
        sealed_entry::{SealedEntry, Unopened},
    },
    entries,
    pillars::open_order,
    rows::{Row, blocking},
    slots::{Busy, Slot},
    store::{
        entries::page_by_id, entry_revisions, pillar_orders, pillar_scores, pillars, reflections,
    },
};

/// Rows that are opened in one go.
const ROWS: u32 = 200;
/// The same of feels and notes of weeks, which may be longer than scores.
const REFLECTIONS: u32 = 20;
/// Edited entries whose revisions are looked for at a time: Postgres sorts the numbers of all of them, a hundred each.
const EDITED: usize = 50;
/// Sealed bytes of them; the first row always is taken.
const BYTES: i64 = 512 << 10;

#[derive(Debug, Error)]
pub(crate) enum ExportError {
    #[error("Wait until one of them has ended.")]
    InProgress,
    #[error("Try again in a moment.")]
    Overloaded,
    #[error(
        "A record is not what was written, so nothing complete can be exported; /api/changes names it as unreadable."
    )]
    Unreadable(Unopened),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const RECORD_UNREADABLE: Case =
    Case::new(409, "record_unreadable", "A stored record does not open");
const IN_PROGRESS: Case = Case::new(
    409,
    "export_in_progress",
    "Two exports of this journal are under way",
);

impl Failure for ExportError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        IN_PROGRESS,
        RECORD_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
        OVERLOADED,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InProgress => &IN_PROGRESS,
            Self::Overloaded => &OVERLOADED,
            Self::Unreadable(_) => &RECORD_UNREADABLE,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(Duration::from_secs(1)),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::InProgress | Self::Overloaded | Self::Unreadable(_) => None,
        }
    }
}

/// An export on its way.
pub(crate) struct Export {
    journal: Arc<Journal>,
    caller: Caller,
    place: Place,
    with_revisions: bool,
    /// Entries that it has and whose revisions below that one come before it goes on; by their ids.
    edited: Vec<(EntryId, Revision)>,
    /// Those that it has: a score of another one would name what is not in the file.
    pillars: Vec<PillarId>,
    _slot: Slot,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Place {
    Pillars,
    /// Behind the one with that id, as with entries.
    Scores(Uuid),
    Entries(Uuid),
    Reflections(Option<reflection::Slot>),
    End,
}

/// Some records, or revisions, as Postgres has them.
struct Page {
    rows: Vec<Row>,
    revisions: Vec<SealedEntry>,
    order: Option<SealedOrder>,
    next: Place,
    edited: Vec<(EntryId, Revision)>,
}

impl Export {
    /// Takes one of the places for exports.
    pub(crate) fn begin(
        journal: &Arc<Journal>,
        caller: Caller,
        with_revisions: bool,
    ) -> Result<Self, ExportError> {
        let slot = journal.exports.take(caller.user_id());
        let slot = slot.map_err(|busy| match busy {
            Busy::Person => ExportError::InProgress,
            Busy::Everybody => ExportError::Overloaded,
        })?;
        Ok(Self {
            journal: Arc::clone(journal),
            caller,
            place: Place::Pillars,
            with_revisions,
            edited: Vec::new(),
            pillars: Vec::new(),
            _slot: slot,
        })
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn user_id(&self) -> UserId {
        self.caller.user_id()
    }

    /// How long the access token is still good, with which the export ends: a key that is in memory does not ask for it.
    pub(crate) fn access_left(&self, now: OffsetDateTime) -> Duration {
        let left = self.caller.claims().exp - now.unix_timestamp();
        u64::try_from(left).map_or(Duration::ZERO, Duration::from_secs)
    }

    /// The next records and revisions; `None` after the last ones. Each time the key is asked for anew, so that an export ends with the
    /// person's access, and nothing of a journal that was closed meanwhile goes out.
    pub(crate) async fn next(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<Vec<Item>>, ExportError> {
        let user = self.user_id();
        while !matches!(self.place, Place::End) {
            if self.access_left(now).is_zero() {
                return Err(KeyError::TokenExpired.into());
            }
            let (mut page, stored) = {
                let db = self.journal.pool.get().await?;
                // The key is looked at behind the rows: those of a journal that is closed go later, so none is missing unnoticed.
                try_join!(self.page(&*db), data_key::stored(&*db, user))?
            };
            let is_first = matches!(self.place, Place::Pillars);
            self.place = page.next;
            self.edited = mem::take(&mut page.edited);
            if page.rows.is_empty() && page.revisions.is_empty() {
                if let Stored::Closed = stored {
                    return Err(KeyError::Closed.into());
                }
                continue;
            }
            let key = data_key::opened(&self.journal, &self.caller, stored, now).await?;
            let known = mem::take(&mut self.pillars);
            let opened =
                blocking(move || opened(&page, user, (&key, &known)).map(|it| (it, known)));
            let (items, known) = opened.await?.map_err(ExportError::Unreadable)?;
            self.pillars = if is_first { named(&items) } else { known };
            let entries = items.iter().filter_map(Item::entry);
            let pillars = entries::pillars::known(&self.journal, user, entries).await?;
            let shown = items.into_iter();
            let shown = shown.map(|it| it.with_pillars_among(&pillars));
            return Ok(Some(shown.collect()));
        }
        Ok(None)
    }

    /// Records, or what those of the last page were before, as long as there is any of that.
    async fn page(&self, db: &impl GenericClient) -> Result<Page, Unexpected> {
        if self.edited.is_empty() {
            let mut page = records(db, self.user_id(), self.place).await?;
            if self.with_revisions {
                page.edited = page.rows.iter().filter_map(edited).collect();
            }
            return Ok(page);
        }
        let asked = self.edited.len().min(EDITED);
        let (asked, later) = self.edited.split_at(asked);
        let found = entry_revisions::of_several(db, self.user_id(), asked, (ROWS, BYTES)).await?;
        let last = found.rows.last().filter(|_| found.more);
        let left = last.map_or(Vec::new(), |last| {
            let behind = asked.iter().skip_while(|(id, _)| *id != last.id).skip(1);
            let same = std::iter::once((last.id, last.revision));
            same.chain(behind.copied()).collect()
        });
        Ok(Page {
            rows: Vec::new(),
            revisions: found.rows,
            order: None,
            next: self.place,
            edited: [&left, later].concat(),
        })
    }
}

/// The entry of a row that has been edited, and how often.
fn edited(row: &Row) -> Option<(EntryId, Revision)> {
    match row {
        Row::Entry(row) if row.revision != Revision::FIRST => Some((row.id, row.revision)),
        _ => None,
    }
}

async fn records(db: &impl GenericClient, user: UserId, place: Place) -> Result<Page, Unexpected> {
    let mut order = None;
    let (rows, next): (Vec<_>, _) = match place {
        Place::Pillars => {
            let (found, found_order) =
                try_join!(pillars::all_rows(db, user), pillar_orders::find(db, user))?;
            order = found_order;
            (
                found.into_iter().map(Row::Pillar).collect(),
                Place::Scores(Uuid::nil()),
            )
        }
        Place::Scores(after) => {
            let found = pillar_scores::page_by_id(db, user, after, ROWS).await?;
            let next = last_of_full(&found, ROWS).map(|row| Place::Scores(row.id.uuid()));
            let next = next.unwrap_or(Place::Entries(Uuid::nil()));
            (found.into_iter().map(Row::Score).collect(), next)
        }
        Place::Entries(after) => {
            let found = page_by_id(db, user, EntryId::new(after), (ROWS, BYTES)).await?;
            let last = found.rows.last().filter(|_| found.more);
            let next = last.map_or(Place::Reflections(None), |row| {
                Place::Entries(row.id.uuid())
            });
            (found.rows.into_iter().map(Row::Entry).collect(), next)
        }
        Place::Reflections(after) => {
            let found = reflections::page_by_slot(db, user, after, REFLECTIONS).await?;
            let next = last_of_full(&found, REFLECTIONS);
            let next = next.map_or(Place::End, |row| Place::Reflections(Some(row.slot)));
            (found.into_iter().map(Row::Reflection).collect(), next)
        }
        Place::End => (Vec::new(), Place::End),
    };
    Ok(Page {
        rows,
        revisions: Vec::new(),
        order,
        next,
        edited: Vec::new(),
    })
}

/// The last row, when there may be more behind it.
fn last_of_full<T>(rows: &[T], most: u32) -> Option<&T> {
    rows.last()
        .filter(|_| u32::try_from(rows.len()) == Ok(most))
}

/// All of them, or none: an export that leaves something out would be taken for the whole. Scores of a pillar that was written
/// since belong to what is written meanwhile.
fn opened(
    page: &Page,
    user: UserId,
    (key, known): (&DataKey, &[PillarId]),
) -> Result<Vec<Item>, Unopened> {
    let is_wanted = |row: &&Row| match row {
        Row::Score(score) => known.contains(&score.pillar),
        _ => true,
    };
    let rows = page.rows.iter().filter(is_wanted);
    let records = rows.map(|row| row.open(user, key).map(Item::Record));
    let revisions = page.revisions.iter();
    let revisions = revisions
        .map(|row| entries::open(row, user, key).map(|entry| Item::Revision(Box::new(entry))));
    let mut items: Vec<_> = records.chain(revisions).collect::<Result<_, _>>()?;
    let pillars = named(&items);
    if !pillars.is_empty() {
        let order = open_order(page.order.as_ref(), user, key)?;
        items.push(Item::Record(Record::PillarOrder(ordered(pillars, &order))));
    }
    Ok(items)
}

/// The pillars among these.
fn named(items: &[Item]) -> Vec<PillarId> {
    let id = |item: &Item| match item {
        Item::Record(Record::Pillar(pillar)) => Some(pillar.id),
        _ => None,
    };
    items.iter().filter_map(id).collect()
}
