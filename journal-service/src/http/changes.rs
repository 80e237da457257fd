//! `/api/changes`: what has happened in a journal.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Query, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::OffsetDateTime;

use super::{
    Tag,
    entries::{Entry, default_limit},
};
use crate::{
    Journal,
    changes::{self, ChangesError, State, Wanted, list_changes},
    domain::record,
};

/// What a record is.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum RecordKind {
    Entry,
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
    /// The entry as it is now: with `written` and the kind `entry`.
    #[oai(skip_serializing_if_is_none)]
    entry: Option<Entry>,
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

impl Example for ChangePage {
    fn example() -> Self {
        let entry = Entry::example();
        Self {
            changes: vec![
                Change {
                    kind: RecordKind::Entry,
                    id: entry.id(),
                    state: RecordState::Written,
                    entry: Some(entry),
                    deleted_at: None,
                },
                Change {
                    kind: RecordKind::Entry,
                    id: "019ab4f0-7c00-7000-8000-0000000000e2".to_owned(),
                    state: RecordState::Deleted,
                    entry: None,
                    deleted_at: Some(time::macros::datetime!(2026-11-24 21:04:05.123456 UTC)),
                },
            ],
            next: Some("AgEBAAAAAAEQERITFBUWFxgZGhvqCoO84nMq9orJ5CbuTxCkzxFJ".to_owned()),
            more: false,
        }
    }
}

impl From<record::Kind> for RecordKind {
    fn from(kind: record::Kind) -> Self {
        match kind {
            record::Kind::Entry => Self::Entry,
        }
    }
}

impl From<changes::Change> for Change {
    fn from(change: changes::Change) -> Self {
        let (state, entry, deleted_at) = match change.state {
            State::Entry(entry) => (RecordState::Written, Some((*entry).into()), None),
            State::Unreadable => (RecordState::Unreadable, None, None),
            State::Deleted(at) => (RecordState::Deleted, None, Some(at)),
        };
        Self {
            kind: change.kind.into(),
            id: change.id,
            state,
            entry,
            deleted_at,
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
    /// Every entry that was created, edited or deleted since a cursor, or ever: a client that goes on with `next` until there
    /// is no `more` has what the server has. Each record comes once, at the place of its latest change and as it is now; one
    /// that changes in the meantime comes again. Nothing is left out, however many write at the same time. Deletions are
    /// remembered as long as the journal is. Pillars, scores, feels and notes of weeks are not in it yet.
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
