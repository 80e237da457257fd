//! `/api/feels`: how a person's days began and ended.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::Date;

use super::{
    Tag,
    entries::default_limit,
    feel_shapes::{Evening, EveningDraft, FeelPage, Morning, MorningDraft},
    header_lines::{IfMatch, Lines},
};
use crate::{
    Journal,
    domain::{
        precondition::entity_tag,
        reflection::{self, Kind, Reflection, Slot},
    },
    entries::list::{ListError, Wanted},
    reflections::{
        delete::{DeleteError, delete},
        list::list,
        read::{ReadError, read},
        write::{WriteError, write},
    },
};

#[derive(ApiResponse)]
enum OneMorning {
    /// How the day began.
    #[oai(status = 200)]
    Ok(
        Json<Morning>,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum OneEvening {
    /// How the day ended.
    #[oai(status = 200)]
    Ok(
        Json<Evening>,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    NoContent,
}

/// `/api/feels`.
pub(super) struct FeelsApi;

#[OpenApi(prefix_path = "/api/feels", tag = "Tag::Feels")]
impl FeelsApi {
    /// List feels
    ///
    /// Day by day, the newest first, with both parts of each. Go on as long as there is a `next`.
    #[oai(path = "/", method = "get", operation_id = "list_feels")]
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
        /// `next` of the page before. Made for one person's list; nothing else is accepted.
        #[oai(validator(max_length = 512))]
        after: Query<Option<String>>,
        /// Days on a page, 1 to 100.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<Json<FeelPage>, Problem<ListError>> {
        let wanted = Wanted {
            from: from.0,
            to: to.0,
            after: after.0,
            limit: limit.0,
        };
        let feels = list(&journal, &caller, wanted, journal.clock.now()).await?;
        Ok(Json(feels.into()))
    }

    /// Read how a day began
    #[oai(path = "/:date/morning", method = "get", operation_id = "get_morning")]
    async fn morning(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
    ) -> Result<OneMorning, Problem<ReadError>> {
        let feel =
            read::<reflection::Morning>(&journal, &caller, date.0, journal.clock.now()).await?;
        Ok(feel.into())
    }

    /// Write how a day began
    ///
    /// There is one for each day: what was there is replaced, all of it. The same again changes nothing and is never a
    /// conflict, so a request whose answer was lost can be repeated. Without `If-Match` the last write wins.
    #[oai(path = "/:date/morning", method = "put", operation_id = "put_morning")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn put_morning(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
        /// The `ETag` that was read: replace only this revision; `"0"`: only if there is nothing yet.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
        body: Json<MorningDraft>,
    ) -> Result<OneMorning, Problem<WriteError>> {
        let precondition = if_match.precondition().map_err(WriteError::parameter)?;
        let now = journal.clock.now();
        let feel = (date.0, reflection::Morning::from(body.0));
        let written = write(&journal, &caller, feel, precondition, now).await?;
        Ok(OneMorning::from(written))
    }

    /// Delete how a day began
    ///
    /// Also works for what does not open.
    #[oai(
        path = "/:date/morning",
        method = "delete",
        operation_id = "delete_morning"
    )]
    async fn delete_morning(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
        /// The `ETag` that was read: delete only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
    ) -> Result<Deleted, Problem<DeleteError>> {
        let slot = Slot::of(Kind::Morning, date.0).map_err(DeleteError::Invalid)?;
        let precondition = if_match.precondition().map_err(DeleteError::Invalid)?;
        delete(&journal, &caller, slot, precondition).await?;
        Ok(Deleted::NoContent)
    }

    /// Read how a day ended
    #[oai(path = "/:date/evening", method = "get", operation_id = "get_evening")]
    async fn evening(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
    ) -> Result<OneEvening, Problem<ReadError>> {
        let feel =
            read::<reflection::Evening>(&journal, &caller, date.0, journal.clock.now()).await?;
        Ok(feel.into())
    }

    /// Write how a day ended
    ///
    /// There is one for each day: what was there is replaced, all of it. The same again changes nothing and is never a
    /// conflict, so a request whose answer was lost can be repeated. Without `If-Match` the last write wins.
    #[oai(path = "/:date/evening", method = "put", operation_id = "put_evening")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn put_evening(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
        /// The `ETag` that was read: replace only this revision; `"0"`: only if there is nothing yet.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
        body: Json<EveningDraft>,
    ) -> Result<OneEvening, Problem<WriteError>> {
        let precondition = if_match.precondition().map_err(WriteError::parameter)?;
        let now = journal.clock.now();
        let feel = (date.0, reflection::Evening::from(body.0));
        let written = write(&journal, &caller, feel, precondition, now).await?;
        Ok(OneEvening::from(written))
    }

    /// Delete how a day ended
    ///
    /// Also works for what does not open.
    #[oai(
        path = "/:date/evening",
        method = "delete",
        operation_id = "delete_evening"
    )]
    async fn delete_evening(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The calendar day, 0001-01-01 to 9999-12-31.
        date: Path<Date>,
        /// The `ETag` that was read: delete only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
    ) -> Result<Deleted, Problem<DeleteError>> {
        let slot = Slot::of(Kind::Evening, date.0).map_err(DeleteError::Invalid)?;
        let precondition = if_match.precondition().map_err(DeleteError::Invalid)?;
        delete(&journal, &caller, slot, precondition).await?;
        Ok(Deleted::NoContent)
    }
}

impl From<Reflection<reflection::Morning>> for OneMorning {
    fn from(feel: Reflection<reflection::Morning>) -> Self {
        let tag = entity_tag(feel.revision);
        Self::Ok(Json(feel.into()), tag)
    }
}

impl From<Reflection<reflection::Evening>> for OneEvening {
    fn from(feel: Reflection<reflection::Evening>) -> Self {
        let tag = entity_tag(feel.revision);
        Self::Ok(Json(feel.into()), tag)
    }
}
