//! `/api/changes`: what has happened in a journal.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Query, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Tag,
    entries::{Entry, default_limit},
    feel_shapes, record_shapes,
};
use crate::{
    Journal,
    changes::{self, ChangesError, State, Wanted, list_changes},
    domain::{
        pillar::PillarId,
        record::{self, Record},
    },
};

/// What a record is.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum RecordKind {
    Pillar,
    /// The order of all pillars; its id is `order`.
    PillarOrder,
    Score,
    Entry,
    /// A feel; its id is its day.
    Morning,
    /// A feel; its id is its day.
    Evening,
    /// The note of a week; its id is the week, as ISO 8601 writes it.
    WeekNote,
}

/// What has become of a record.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum RecordState {
    /// It was created or edited, and is in the answer as it is now.
    Written,
    Deleted,
    /// It is there and cannot be shown, because its stored form was changed.
    Unreadable,
}

/// A record and what has become of it.
#[derive(Object)]
struct Change {
    kind: RecordKind,
    /// Its id among those of its kind.
    id: String,
    state: RecordState,
    /// The record as it is now, under the name of its kind: with `written`.
    #[oai(skip_serializing_if_is_none)]
    pillar: Option<record_shapes::Pillar>,
    /// The ids of the pillars in their order; pillars that are not named come behind, the newest last.
    #[oai(skip_serializing_if_is_none)]
    pillar_order: Option<Vec<Uuid>>,
    #[oai(skip_serializing_if_is_none)]
    score: Option<record_shapes::Score>,
    #[oai(skip_serializing_if_is_none)]
    entry: Option<Entry>,
    #[oai(skip_serializing_if_is_none)]
    morning: Option<feel_shapes::Morning>,
    #[oai(skip_serializing_if_is_none)]
    evening: Option<feel_shapes::Evening>,
    #[oai(skip_serializing_if_is_none)]
    week_note: Option<record_shapes::WeekNote>,
    /// With `deleted`.
    #[oai(skip_serializing_if_is_none)]
    deleted_at: Option<OffsetDateTime>,
}

/// Changes, the oldest first.
#[derive(Object)]
#[oai(example)]
struct ChangePage {
    changes: Vec<Change>,
    /// Send it as `since`, at once when there is `more`, otherwise whenever you like. Left out while nothing has ever been
    /// written.
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
    /// Whether there are more changes already.
    more: bool,
}

impl Change {
    /// Of a record that is not shown.
    fn of(kind: RecordKind, id: String, state: RecordState) -> Self {
        Self {
            kind,
            id,
            state,
            pillar: None,
            pillar_order: None,
            score: None,
            entry: None,
            morning: None,
            evening: None,
            week_note: None,
            deleted_at: None,
        }
    }

    fn showing(self, record: Record) -> Self {
        match record {
            Record::Pillar(pillar) => Self {
                pillar: Some((*pillar).into()),
                ..self
            },
            Record::PillarOrder(ids) => Self {
                pillar_order: Some(ids.into_iter().map(PillarId::uuid).collect()),
                ..self
            },
            Record::Score(score) => Self {
                score: Some((*score).into()),
                ..self
            },
            Record::Entry(entry) => Self {
                entry: Some((*entry).into()),
                ..self
            },
            Record::Morning(feel) => Self {
                morning: Some((*feel).into()),
                ..self
            },
            Record::Evening(feel) => Self {
                evening: Some((*feel).into()),
                ..self
            },
            Record::WeekNote(note) => Self {
                week_note: Some((*note).into()),
                ..self
            },
        }
    }
}

impl Example for ChangePage {
    fn example() -> Self {
        let entry = Entry::example();
        let written = Change {
            entry: Some(entry),
            ..Change::of(
                RecordKind::Entry,
                Entry::example().id(),
                RecordState::Written,
            )
        };
        let deleted = Change {
            deleted_at: Some(time::macros::datetime!(2026-11-24 21:04:05.123456 UTC)),
            ..Change::of(
                RecordKind::Evening,
                "2026-11-24".to_owned(),
                RecordState::Deleted,
            )
        };
        Self {
            changes: vec![written, deleted],
            next: Some("AgEBAAAAAAEQERITFBUWFxgZGhvqCoO84nMq9orJ5CbuTxCkzxFJ".to_owned()),
            more: false,
        }
    }
}

impl From<record::Kind> for RecordKind {
    fn from(kind: record::Kind) -> Self {
        match kind {
            record::Kind::Pillar => Self::Pillar,
            record::Kind::PillarOrder => Self::PillarOrder,
            record::Kind::Score => Self::Score,
            record::Kind::Entry => Self::Entry,
            record::Kind::Morning => Self::Morning,
            record::Kind::Evening => Self::Evening,
            record::Kind::WeekNote => Self::WeekNote,
        }
    }
}

impl From<changes::Change> for Change {
    fn from(change: changes::Change) -> Self {
        let of = |state| Self::of(change.kind.into(), change.id, state);
        match change.state {
            State::Written(record) => of(RecordState::Written).showing(record),
            State::Unreadable => of(RecordState::Unreadable),
            State::Deleted(at) => Self {
                deleted_at: Some(at),
                ..of(RecordState::Deleted)
            },
        }
    }
}

impl From<changes::Listed> for ChangePage {
    fn from(page: changes::Listed) -> Self {
        Self {
            changes: page.changes.into_iter().map(Change::from).collect(),
            next: page.next,
            more: page.more,
        }
    }
}

/// Following a journal.
pub(super) struct ChangesApi;

#[OpenApi(prefix_path = "/api/changes", tag = "Tag::Changes")]
impl ChangesApi {
    /// List what has changed
    ///
    /// Everything that was created, edited or deleted since a cursor, or ever: a client that goes on with `next` until there
    /// is no `more` has what the server has. Each record comes once, at the place of its latest change and as it is now; one
    /// that changes in the meantime comes again. Nothing is left out, however many write at the same time. Deletions are
    /// remembered as long as the journal is. Who deletes a pillar deletes its scores. Entries, scores and the order of pillars may
    /// name a pillar that has not come yet or was deleted: it is left out as long as it is not there.
    ///
    /// 410 `cursor_expired`: the journal was restored from a backup that does not know the cursor. Begin again without
    /// `since`, and drop what does not come.
    #[oai(path = "/", method = "get", operation_id = "list_changes")]
    async fn list(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// `next` of the answer before. Made for one person's changes; nothing else is accepted.
        #[oai(validator(max_length = 512))]
        since: Query<Option<String>>,
        /// Changes in an answer, 1 to 100; fewer when they are very long.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<Json<ChangePage>, Problem<ChangesError>> {
        let wanted = Wanted {
            since: since.0,
            limit: limit.0,
        };
        let now = journal.clock.now();
        let changes = list_changes(&journal, &caller, wanted, now).await?;
        Ok(Json(changes.into()))
    }
}
