//! `/api/entries/{id}/revisions`: what an entry was.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use uuid::Uuid;

use super::{
    Tag,
    entries::{Entry, UnreadableEntry, default_limit},
};
use crate::{
    Journal,
    domain::entry::{EntryId, Revision},
    entries::list_revisions::{Revisions, RevisionsError, WantedRevisions, list_revisions},
};

/// Revisions of one entry, the newest first.
#[derive(Object)]
#[oai(example)]
struct RevisionPage {
    revisions: Vec<Entry>,
    /// Revisions that belong on this page and cannot be shown, because their stored form was changed. Usually empty.
    unreadable: Vec<UnreadableEntry>,
    /// Send it as `before` for the next page; left out on the last one.
    #[oai(skip_serializing_if_is_none)]
    next: Option<i64>,
}

impl Example for RevisionPage {
    fn example() -> Self {
        Self {
            revisions: vec![Entry::example()],
            unreadable: Vec::new(),
            next: None,
        }
    }
}

impl From<Revisions> for RevisionPage {
    fn from(revisions: Revisions) -> Self {
        let unreadable = revisions.unreadable.into_iter();
        Self {
            revisions: revisions.entries.into_iter().map(Entry::from).collect(),
            unreadable: unreadable.map(UnreadableEntry::from).collect(),
            next: revisions.next.map(Revision::number),
        }
    }
}

/// What an entry was.
pub(super) struct RevisionsApi;

#[OpenApi(prefix_path = "/api/entries", tag = "Tag::Entries")]
impl RevisionsApi {
    /// List the revisions of an entry
    ///
    /// The entry as it is, and before it as it was before each edit, newest first; a hundred edits are kept. To bring one
    /// back, put its content in the place of what is there. They go with their entry.
    #[oai(
        path = "/:id/revisions",
        method = "get",
        operation_id = "list_entry_revisions"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn list(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The entry.
        id: Path<Uuid>,
        /// Only what was before this revision: `next` of the page before.
        #[oai(validator(minimum(value = "1")))]
        before: Query<Option<i64>>,
        /// Revisions on a page, 1 to 100.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<Json<RevisionPage>, Problem<RevisionsError>> {
        let wanted = WantedRevisions {
            id: EntryId::new(id.0),
            before: before.0,
            limit: limit.0,
        };
        let now = journal.clock.now();
        let revisions = list_revisions(&journal, &caller, wanted, now).await?;
        Ok(Json(revisions.into()))
    }
}
