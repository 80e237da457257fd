//! `/api/entries`: wire formats, and nothing that decides.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::{
    Date, OffsetDateTime,
    macros::{date, datetime},
};
use uuid::Uuid;

use super::{
    Tag,
    found::Found,
    header_lines::{IdempotencyKeyHeader, IfMatch, Lines},
    with_current::WithCurrent,
};
use crate::{
    Journal,
    domain::{
        content::Draft,
        entry::{self, EntryId},
        pillar::PillarId,
        precondition::entity_tag,
        search::Question,
    },
    entries::{
        create::{CreateError, create},
        delete::{DeleteError, delete},
        edit::{Edit, EditError, edit},
        list::{ListError, Listed, Shown, Unreadable, Wanted, list},
        read::{ReadError, read},
        search::{Sought, search},
    },
};

/// An entry as it is written: all of it, every time.
#[derive(Object)]
#[oai(example)]
struct EntryDraft {
    /// The calendar day it is about, 0001-01-01 to 9999-12-31; any day, not only today.
    date: Date,
    /// May be empty.
    #[oai(validator(max_length = 200))]
    title: String,
    /// May be empty. At most 1 MiB of UTF-8; kept exactly as it is sent.
    #[oai(validator(max_length = 1_048_576))]
    body: String,
    /// How the day felt, 1 to 10.
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    mood: Option<u8>,
    /// At most 32 different ones of 1 to 64 characters, kept in order.
    #[oai(
        default,
        validator(max_items = 32, unique_items, min_length = 1, max_length = 64)
    )]
    tags: Vec<String>,
    /// At most 20 different pillars of the person's own that it is about, kept in order.
    #[oai(default, validator(max_items = 20, unique_items))]
    pillar_ids: Vec<Uuid>,
    /// Whether the person is done with this entry.
    #[oai(default)]
    completed: bool,
}

impl Example for EntryDraft {
    fn example() -> Self {
        Self {
            date: date!(2026 - 11 - 24),
            title: "A quiet day".to_owned(),
            body: "Walked along the river.".to_owned(),
            mood: Some(7),
            tags: vec!["outside".to_owned()],
            pillar_ids: Vec::new(),
            completed: true,
        }
    }
}

/// An entry.
#[derive(Object)]
#[oai(example)]
pub(super) struct Entry {
    /// A UUID of version 7: ids sort by the time of writing.
    id: Uuid,
    date: Date,
    title: String,
    body: String,
    /// 1 to 10; left out when the person named none.
    #[oai(skip_serializing_if_is_none)]
    mood: Option<u8>,
    tags: Vec<String>,
    /// The pillars it is about, of those that are still there: one that is deleted is left out from then on, without an edit.
    pillar_ids: Vec<Uuid>,
    completed: bool,
    /// Counts the edits, from 1. The header `ETag` is this number in quotes.
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    /// Where it holds what `q` asked for. Only in an answer to such a question.
    #[oai(skip_serializing_if_is_none)]
    found: Option<Found>,
}

impl Entry {
    /// As other records name it.
    pub(super) fn id(&self) -> String {
        self.id.to_string()
    }
}

impl Example for Entry {
    fn example() -> Self {
        let draft = EntryDraft::example();
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00e1),
            date: draft.date,
            title: draft.title,
            body: draft.body,
            mood: draft.mood,
            tags: draft.tags,
            pillar_ids: draft.pillar_ids,
            completed: draft.completed,
            revision: 1,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            found: None,
        }
    }
}

/// One page of entries: the newest day first, and within a day what was written last.
#[derive(Object)]
#[oai(example)]
struct EntryPage {
    entries: Vec<Entry>,
    /// What belongs on this page and cannot be shown, because its stored form was changed. Usually empty.
    unreadable: Vec<UnreadableEntry>,
    /// Send it as `after` for the next page; left out on the last one.
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

impl Example for EntryPage {
    fn example() -> Self {
        Self {
            entries: vec![Entry::example()],
            unreadable: Vec::new(),
            next: Some("AgEBAAAAAAEQERITFBUWFxgZGhvqCoO84nMq9orJ5CbuTxCkzxFJ".to_owned()),
        }
    }
}

/// What is known of an entry that does not open. It can be deleted.
#[derive(Object)]
pub(super) struct UnreadableEntry {
    id: Uuid,
    date: Date,
    revision: i64,
}

#[derive(ApiResponse)]
enum CreatedEntry {
    /// The entry was stored.
    #[oai(status = 201)]
    Created(
        Json<Entry>,
        /// Where the entry is.
        #[oai(header = "Location")]
        String,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum OneEntry {
    /// The entry.
    #[oai(status = 200)]
    Ok(
        Json<Entry>,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum OnePage {
    /// One page of the person's entries.
    #[oai(status = 200)]
    Ok(Json<EntryPage>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The entry is gone.
    #[oai(status = 204)]
    NoContent,
}

/// `/api/entries`.
pub(super) struct EntriesApi;

#[OpenApi(prefix_path = "/api/entries", tag = "Tag::Entries")]
impl EntriesApi {
    /// Write an entry
    ///
    /// Stores a new entry under a key of the person's own, which is made with their first entry. With an
    /// `Idempotency-Key` the request can be repeated within a day when its answer was lost: it gets the same answer again,
    /// and makes no second entry.
    #[oai(path = "/", method = "post", operation_id = "create_entry")]
    async fn create(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// What the client calls this request: 1 to 128 characters, such as a random UUID.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Lines<IdempotencyKeyHeader>,
        body: Json<EntryDraft>,
    ) -> Result<CreatedEntry, Problem<CreateError>> {
        let key = idempotency_key.key().map_err(CreateError::header)?;
        let now = journal.clock.now();
        let created = create(&journal, &caller, body.0.into(), key, now).await?;
        let location = format!("/api/entries/{}", created.id);
        let tag = entity_tag(created.revision);
        Ok(CreatedEntry::Created(Json(created.into()), location, tag))
    }

    /// List entries, or look for some
    ///
    /// The newest day first. A page ends after `limit` entries, or earlier when they are very long: go on as
    /// long as there is a `next`.
    ///
    /// With `q`, entries that hold every word of it, anywhere in title, body or tags; case, accents, strokes and widths make no
    /// difference (`strasse` finds `Straße`), and a part of a word is enough. Each says in `found` where. With `tag`, those
    /// that have it; with `pillar`, those that name it, which are none when there is no such pillar. All entries are opened for that, so a page may also end after two seconds, and may be empty.
    #[oai(path = "/", method = "get", operation_id = "list_entries")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn list(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// Only this day and later ones.
        from: Query<Option<Date>>,
        /// Only this day and earlier ones.
        to: Query<Option<Date>>,
        /// What to look for: words, at most 16 different ones.
        #[oai(validator(min_length = 1, max_length = 200))]
        q: Query<Option<String>>,
        /// Only entries with this tag, exactly as it was written.
        #[oai(validator(min_length = 1, max_length = 64))]
        tag: Query<Option<String>>,
        /// Only entries about this pillar.
        pillar: Query<Option<Uuid>>,
        /// `next` of the page before. Made for one person's list; nothing else is accepted.
        #[oai(validator(max_length = 512))]
        after: Query<Option<String>>,
        /// Entries on a page, 1 to 100.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<OnePage, Problem<ListError>> {
        let wanted = Wanted {
            from: from.0,
            to: to.0,
            after: after.0,
            limit: limit.0,
        };
        let now = journal.clock.now();
        let question = q.0.map(|text| Question::parse(&text)).transpose();
        let sought = Sought {
            question: question.map_err(ListError::Question)?,
            tag: tag.0,
            pillar: pillar.0.map(PillarId::new),
        };
        let listed = if sought.is_everything() {
            list(&journal, &caller, wanted, now).await?
        } else {
            search(&journal, &caller, sought, &wanted, now).await?
        };
        Ok(OnePage::Ok(Json(listed.into())))
    }

    /// Read an entry
    #[oai(path = "/:id", method = "get", operation_id = "get_entry")]
    async fn read(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The entry.
        id: Path<Uuid>,
    ) -> Result<OneEntry, Problem<ReadError>> {
        let entry = read(&journal, &caller, EntryId::new(id.0), journal.clock.now()).await?;
        Ok(entry.into())
    }

    /// Replace an entry
    ///
    /// Everything is replaced: a mood or tags that are left out are gone. The same content again changes
    /// nothing and is never a conflict, so a request whose answer was lost can be repeated. Without
    /// `If-Match` the last write wins; with one that is out of date, 412 shows in `current` what is there.
    #[oai(path = "/:id", method = "put", operation_id = "replace_entry")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn edit(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The entry.
        id: Path<Uuid>,
        /// The `ETag` that was read: replace only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
        body: Json<EntryDraft>,
    ) -> Result<OneEntry, Problem<WithCurrent<EditError>>> {
        let precondition = if_match.precondition().map_err(EditError::header);
        let wanted = Edit {
            id: EntryId::new(id.0),
            draft: body.0.into(),
            precondition: precondition.map_err(WithCurrent::from)?,
        };
        let edited = edit(&journal, &caller, wanted, journal.clock.now()).await;
        Ok(edited.map_err(WithCurrent::from)?.into())
    }

    /// Delete an entry
    ///
    /// For good, with all its revisions. Also works for an entry that does not open. With an `If-Match` that is out of
    /// date, 412 shows in `current` what is there.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_entry")]
    async fn delete(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The entry.
        id: Path<Uuid>,
        /// The `ETag` that was read: delete only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
    ) -> Result<Deleted, Problem<WithCurrent<DeleteError>>> {
        let precondition = if_match.precondition().map_err(DeleteError::header);
        let precondition = precondition.map_err(WithCurrent::from)?;
        let (id, now) = (EntryId::new(id.0), journal.clock.now());
        let deleted = delete(&journal, &caller, id, precondition, now).await;
        deleted.map_err(WithCurrent::from)?;
        Ok(Deleted::NoContent)
    }
}

pub(super) fn default_limit() -> u32 {
    50
}

impl From<EntryDraft> for Draft {
    fn from(draft: EntryDraft) -> Self {
        Self {
            date: draft.date,
            title: draft.title,
            body: draft.body,
            mood: draft.mood,
            tags: draft.tags,
            pillar_ids: draft.pillar_ids.into_iter().map(PillarId::new).collect(),
            completed: draft.completed,
        }
    }
}

impl From<entry::Entry> for Entry {
    fn from(entry: entry::Entry) -> Self {
        let content = entry.content.into_parts();
        Self {
            id: entry.id.uuid(),
            date: content.date,
            title: content.title,
            body: content.body,
            mood: content.mood,
            tags: content.tags,
            pillar_ids: content.pillar_ids.into_iter().map(PillarId::uuid).collect(),
            completed: content.completed,
            revision: entry.revision.number(),
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            found: None,
        }
    }
}

impl From<Shown> for Entry {
    fn from(shown: Shown) -> Self {
        Self {
            found: shown.found.map(Found::from),
            ..shown.entry.into()
        }
    }
}

impl From<entry::Entry> for OneEntry {
    fn from(entry: entry::Entry) -> Self {
        let tag = entity_tag(entry.revision);
        Self::Ok(Json(entry.into()), tag)
    }
}

impl From<Listed> for EntryPage {
    fn from(listed: Listed) -> Self {
        Self {
            entries: listed.entries.into_iter().map(Entry::from).collect(),
            unreadable: listed
                .unreadable
                .into_iter()
                .map(UnreadableEntry::from)
                .collect(),
            next: listed.next,
        }
    }
}

impl From<Unreadable> for UnreadableEntry {
    fn from(row: Unreadable) -> Self {
        Self {
            id: row.id.uuid(),
            date: row.date,
            revision: row.revision.number(),
        }
    }
}
