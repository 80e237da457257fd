//! `/api/pillars`: wire formats, and nothing that decides.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use shared::{
    access_token::Caller,
    problem::{FieldError, Problem},
    serve::Json,
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{
    Tag,
    header_lines::{IdempotencyKeyHeader, IfMatch, Lines},
};
use crate::{
    Journal,
    data_key::KeyError,
    domain::{
        amount::Amount,
        pillar::{self, PillarId},
        precondition::entity_tag,
    },
    pillars::{
        Shown,
        create::{CreateError, create},
        delete::{DeleteError, delete},
        edit::{Edit, EditError, edit},
        list::{Listed, list},
        read::{ReadError, read},
        reorder::{ReorderError, reorder},
    },
};

/// A pillar as it is written: all of it, every time. Its place and how it stands are written elsewhere.
#[derive(Object)]
#[oai(example)]
struct PillarDraft {
    /// 1 to 100 characters.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    /// `#` and six hexadecimal digits.
    #[oai(validator(pattern = "^#[0-9A-Fa-f]{6}$"))]
    color: Option<String>,
    /// What a frontend shows for it: a character, or the name of a picture. 1 to 32 characters.
    #[oai(validator(min_length = 1, max_length = 32))]
    icon: Option<String>,
    /// What the person aims at, to three decimals.
    #[oai(validator(minimum(value = "-1000000000"), maximum(value = "1000000000")))]
    target: Option<f64>,
    /// What target and scores count, such as hours. 1 to 32 characters.
    #[oai(validator(min_length = 1, max_length = 32))]
    unit: Option<String>,
    /// Whether the person has put it away. It keeps its place and its scores.
    #[oai(default)]
    archived: bool,
}

impl Example for PillarDraft {
    fn example() -> Self {
        Self {
            name: "Health".to_owned(),
            color: Some("#3fa34d".to_owned()),
            icon: Some("leaf".to_owned()),
            target: Some(8.0),
            unit: Some("hours".to_owned()),
            archived: false,
        }
    }
}

/// A pillar: an area of a person's life.
#[derive(Object)]
#[oai(example)]
struct Pillar {
    /// A UUID of version 7: ids sort by the time of writing.
    id: Uuid,
    name: String,
    #[oai(skip_serializing_if_is_none)]
    color: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    icon: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    target: Option<f64>,
    /// The value of the newest score: of the latest day, and of several of that day the one that was written last. Left out
    /// as long as there is none.
    #[oai(skip_serializing_if_is_none)]
    current: Option<f64>,
    #[oai(skip_serializing_if_is_none)]
    unit: Option<String>,
    /// Its place among all of the person's pillars, archived ones too, from 0.
    position: u32,
    archived: bool,
    /// Counts the edits, from 1. The header `ETag` is this number in quotes. A new score or another order is no edit.
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for Pillar {
    fn example() -> Self {
        let draft = PillarDraft::example();
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00a1),
            name: draft.name,
            color: draft.color,
            icon: draft.icon,
            target: draft.target,
            current: Some(7.5),
            unit: draft.unit,
            position: 0,
            archived: draft.archived,
            revision: 1,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

/// All pillars of a person, or those that were asked for, in their order.
#[derive(Object)]
#[oai(example)]
struct PillarList {
    pillars: Vec<Pillar>,
    /// Those that cannot be shown, because their stored form or that of their newest score was changed. Usually empty.
    unreadable: Vec<UnreadablePillar>,
    /// Whether the stored order was changed and does not open: pillars come in the order of their ids then, until they are put
    /// into an order again.
    order_unreadable: bool,
}

impl Example for PillarList {
    fn example() -> Self {
        Self {
            pillars: vec![Pillar::example()],
            unreadable: Vec::new(),
            order_unreadable: false,
        }
    }
}

/// What is known of a pillar that does not open. It can be deleted.
#[derive(Object)]
struct UnreadablePillar {
    id: Uuid,
    revision: i64,
}

/// All pillars of a person in the order that they are to have.
#[derive(Object)]
#[oai(example)]
struct PillarOrder {
    /// The id of every pillar, archived ones too, once.
    #[oai(validator(max_items = 200, unique_items))]
    ids: Vec<Uuid>,
}

impl Example for PillarOrder {
    fn example() -> Self {
        Self {
            ids: vec![Pillar::example().id],
        }
    }
}

#[derive(ApiResponse)]
enum CreatedPillar {
    /// The pillar was stored.
    #[oai(status = 201)]
    Created(
        Json<Pillar>,
        /// Where the pillar is.
        #[oai(header = "Location")]
        String,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum OnePillar {
    /// The pillar.
    #[oai(status = 200)]
    Ok(
        Json<Pillar>,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The pillar is gone.
    #[oai(status = 204)]
    NoContent,
}

/// `/api/pillars`.
pub(super) struct PillarsApi;

#[OpenApi(prefix_path = "/api/pillars", tag = "Tag::Pillars")]
impl PillarsApi {
    /// Write a pillar
    ///
    /// It stands at the end of all. A person has 200 of them at most, archived ones among them. With an `Idempotency-Key`
    /// the request can be repeated within a day when its answer was lost: it makes no second pillar, and gets the same
    /// answer again, but for `position` and `current`, which are as they are now.
    #[oai(path = "/", method = "post", operation_id = "create_pillar")]
    async fn create(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// What the client calls this request: 1 to 128 characters, such as a random UUID.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Lines<IdempotencyKeyHeader>,
        body: Json<PillarDraft>,
    ) -> Result<CreatedPillar, Problem<CreateError>> {
        let key = idempotency_key.key().map_err(CreateError::header)?;
        let draft = body.0.checked().map_err(CreateError::header)?;
        let created = create(&journal, &caller, draft, key, journal.clock.now()).await?;
        let location = format!("/api/pillars/{}", created.pillar.id);
        let tag = entity_tag(created.pillar.revision);
        Ok(CreatedPillar::Created(Json(created.into()), location, tag))
    }

    /// List pillars
    ///
    /// All of them in their order: there are 200 at most.
    #[oai(path = "/", method = "get", operation_id = "list_pillars")]
    async fn list(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// `true` for archived ones alone, `false` for those that are not; both when it is left out.
        archived: Query<Option<bool>>,
    ) -> Result<Json<PillarList>, Problem<KeyError>> {
        let listed = list(&journal, &caller, archived.0, journal.clock.now()).await?;
        Ok(Json(listed.into()))
    }

    /// Put all pillars into an order
    ///
    /// All at once, or not at all: the ids must be exactly those of the person's pillars. Of several orders that come at the
    /// same time the last one stays. A pillar that is written later stands at the end. Revisions stay what they are.
    #[oai(path = "/order", method = "put", operation_id = "reorder_pillars")]
    async fn reorder(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        body: Json<PillarOrder>,
    ) -> Result<Json<PillarList>, Problem<ReorderError>> {
        let order = body.0.ids.into_iter().map(PillarId::new).collect();
        let listed = reorder(&journal, &caller, order, journal.clock.now()).await?;
        Ok(Json(listed.into()))
    }

    /// Read a pillar
    #[oai(path = "/:id", method = "get", operation_id = "get_pillar")]
    async fn read(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
    ) -> Result<OnePillar, Problem<ReadError>> {
        let pillar = read(&journal, &caller, PillarId::new(id.0), journal.clock.now()).await?;
        Ok(pillar.into())
    }

    /// Replace a pillar
    ///
    /// Everything is replaced: a colour or a target that is left out is gone. Archive it with `archived`, and take it back the
    /// same way. The same content again changes nothing and is never a conflict, so a request whose answer was lost can be
    /// repeated. Without `If-Match` the last write wins.
    #[oai(path = "/:id", method = "put", operation_id = "replace_pillar")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn edit(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
        /// The `ETag` that was read: replace only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
        body: Json<PillarDraft>,
    ) -> Result<OnePillar, Problem<EditError>> {
        let wanted = Edit {
            id: PillarId::new(id.0),
            precondition: if_match.precondition().map_err(EditError::header)?,
            draft: body.0.checked().map_err(EditError::header)?,
        };
        let edited = edit(&journal, &caller, wanted, journal.clock.now()).await?;
        Ok(edited.into())
    }

    /// Delete a pillar
    ///
    /// For good, with its scores. Also works for a pillar that does not open. Entries that name it in `pillar_ids` stay as they
    /// are, and name it no more. To keep it out of sight, archive it instead.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_pillar")]
    async fn delete(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
        /// The `ETag` that was read: delete only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
    ) -> Result<Deleted, Problem<DeleteError>> {
        let precondition = if_match.precondition().map_err(DeleteError::header)?;
        delete(&journal, &caller, PillarId::new(id.0), precondition).await?;
        Ok(Deleted::NoContent)
    }
}

/// The amount of a number in a field of the body.
pub(super) fn amount(field: &str, number: f64) -> Result<Amount, FieldError> {
    let wrong = "is not a number from -1000000000 to 1000000000";
    Amount::of(number).ok_or_else(|| FieldError::body(field, wrong))
}

impl PillarDraft {
    fn checked(self) -> Result<pillar::PillarDraft, FieldError> {
        let target = self.target.map(|number| amount("target", number));
        Ok(pillar::PillarDraft {
            name: self.name,
            color: self.color,
            icon: self.icon,
            target: target.transpose()?,
            unit: self.unit,
            archived: self.archived,
        })
    }
}

impl From<Shown> for Pillar {
    fn from(shown: Shown) -> Self {
        let pillar = shown.pillar;
        let content = pillar.content.into_parts();
        Self {
            id: pillar.id.uuid(),
            name: content.name,
            color: content.color,
            icon: content.icon,
            target: content.target.map(Amount::number),
            current: shown.current.map(Amount::number),
            unit: content.unit,
            position: u32::try_from(shown.position).unwrap_or(u32::MAX),
            archived: content.archived,
            revision: pillar.revision.number(),
            created_at: pillar.created_at,
            updated_at: pillar.updated_at,
        }
    }
}

impl From<Shown> for OnePillar {
    fn from(shown: Shown) -> Self {
        let tag = entity_tag(shown.pillar.revision);
        Self::Ok(Json(shown.into()), tag)
    }
}

impl From<Listed> for PillarList {
    fn from(listed: Listed) -> Self {
        let unreadable = listed.unreadable.into_iter();
        let unreadable = unreadable.map(|(id, revision)| UnreadablePillar {
            id: id.uuid(),
            revision: revision.number(),
        });
        Self {
            pillars: listed.pillars.into_iter().map(Pillar::from).collect(),
            unreadable: unreadable.collect(),
            order_unreadable: listed.order_unreadable,
        }
    }
}
