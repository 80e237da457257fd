//! A week at a glance: what was written, how it felt, how the pillars went. All of it is sealed, so the person's own records
//! are opened and counted, a part at a time, and nothing of it is kept.

use std::sync::Arc;

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::{Date, Duration, OffsetDateTime};
use tokio::{task::spawn_blocking, try_join};
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        recap::{Recap, STREAK},
        reflection::{Kind, Slot},
        score::SealedScore,
        sealed_entry::SealedEntry,
        sealed_reflection::SealedReflection,
        week::Week,
    },
    pillars::open_score,
    reflections::open,
    store::{
        reflections::{self, DaysQuery},
        weeks::{self, Part},
    },
};

/// Rows that are looked at in one go.
const ROWS: u32 = 500;

#[derive(Debug, Error)]
pub(crate) enum RecapError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for RecapError {
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
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(error) => vec![error.clone()],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Invalid(_) => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// What is asked for in one go: all but the entries and most of the scores.
struct Rows {
    stored: Stored,
    written: Vec<Date>,
    feels: Vec<SealedReflection>,
    note: Option<SealedReflection>,
    scores: Vec<SealedScore>,
}

/// The caller's week.
pub(crate) async fn recap(
    journal: &Journal,
    caller: &Caller,
    week: Week,
    now: OffsetDateTime,
) -> Result<Recap, RecapError> {
    let user = caller.user_id();
    let rows = rows(journal, user, week).await?;
    let nothing = rows.written.is_empty() && rows.note.is_none() && rows.scores.is_empty();
    if nothing && !matches!(rows.stored, Stored::Closed) {
        return Ok(Recap::of(week));
    }
    let key = data_key::opened(journal, caller, rows.stored, now).await?;
    let mut counting = Counting {
        recap: Recap::of(week),
        user,
        key,
    };
    counting.recap.add_written_days(&rows.written);
    counting.add_reflections(&rows.feels, rows.note.as_ref());
    let counting = with_scores(journal, counting, rows.scores).await?;
    Ok(with_entries(journal, counting).await?.recap)
}

async fn rows(journal: &Journal, user: UserId, week: Week) -> Result<Rows, Unexpected> {
    let (from, to) = (week.monday(), week.sunday());
    let days = DaysQuery { from, to, days: 7 };
    let slot = Slot {
        kind: Kind::Week,
        date: from,
    };
    let back = (from.saturating_sub(Duration::days(STREAK)), to);
    let db = journal.pool.get().await?;
    // All questions travel together: one round trip.
    let (stored, written, feels, note, scores) = try_join!(
        data_key::stored(&*db, user),
        weeks::written_days(&*db, user, back),
        reflections::feels(&*db, user, days),
        reflections::find(&*db, user, slot),
        weeks::scores(&*db, user, first(week)),
    )?;
    Ok(Rows {
        stored,
        written,
        feels,
        note,
        scores,
    })
}

async fn with_scores(
    journal: &Journal,
    mut counting: Counting,
    mut rows: Vec<SealedScore>,
) -> Result<Counting, Unexpected> {
    while let Some(last) = rows.last() {
        let part = Part {
            after: (last.date, last.id.uuid()),
            ..first(counting.recap.week)
        };
        let is_last = is_last(rows.len());
        counting = counting
            .through(move |counting| counting.add_scores(&rows))
            .await?;
        if is_last {
            break;
        }
        rows = weeks::scores(&*journal.pool.get().await?, counting.user, part).await?;
    }
    Ok(counting)
}

async fn with_entries(journal: &Journal, mut counting: Counting) -> Result<Counting, Unexpected> {
    let mut part = first(counting.recap.week);
    loop {
        let db = journal.pool.get().await?;
        let rows = weeks::entry_details(&*db, counting.user, part).await?;
        drop(db);
        let Some(last) = rows.last() else {
            return Ok(counting);
        };
        part.after = (last.date, last.id.uuid());
        let is_last = is_last(rows.len());
        counting = counting
            .through(move |counting| counting.add_entries(&rows))
            .await?;
        if is_last {
            return Ok(counting);
        }
    }
}

/// Whether no more rows are there: a further look might find an entry a second time that was moved to an earlier day meanwhile.
fn is_last(rows: usize) -> bool {
    u32::try_from(rows).is_ok_and(|rows| rows < ROWS)
}

fn first(week: Week) -> Part {
    Part {
        from: week.monday(),
        to: week.sunday(),
        // Before the first one there can be: `Uuid::max` is no version 7.
        after: (Date::MAX, Uuid::max()),
        rows: ROWS,
    }
}

/// How far a recap has come.
struct Counting {
    recap: Recap,
    user: UserId,
    key: Arc<DataKey>,
}

impl Counting {
    /// Milliseconds of cryptography: not on a thread that others wait for.
    async fn through(
        mut self,
        add: impl FnOnce(&mut Self) + Send + 'static,
    ) -> Result<Self, Unexpected> {
        let added = spawn_blocking(move || {
            add(&mut self);
            self
        });
        added.await.map_err(|_| Unexpected::bug("counting a week"))
    }

    fn add_reflections(&mut self, feels: &[SealedReflection], note: Option<&SealedReflection>) {
        for row in feels {
            let added = match row.slot.kind {
                Kind::Morning => {
                    open(row, self.user, &self.key).map(|feel| self.recap.add_morning(&feel))
                }
                Kind::Evening => {
                    open(row, self.user, &self.key).map(|feel| self.recap.add_evening(&feel))
                }
                Kind::Week => Ok(()),
            };
            if added.is_err() {
                self.recap.add_unreadable();
            }
        }
        match note.map(|row| open(row, self.user, &self.key)).transpose() {
            Ok(note) => self.recap.note = note,
            Err(_) => self.recap.add_unreadable(),
        }
    }

    fn add_scores(&mut self, rows: &[SealedScore]) {
        for row in rows {
            match open_score(row, self.user, &self.key) {
                Ok(score) => self.recap.add_score(&score),
                Err(_) => self.recap.add_unreadable(),
            }
        }
    }

    fn add_entries(&mut self, rows: &[SealedEntry]) {
        for row in rows {
            match row.open_details(self.user, &self.key) {
                Ok(details) => self.recap.add_entry(row.date, details),
                Err(cause) => {
                    let (user, revision) = (self.user, row.revision.number());
                    tracing::error!(user.id = %user, entry.id = %row.id, revision, %cause, "an entry does not open");
                    self.recap.add_unreadable();
                }
            }
        }
    }
}
