//! `/api/weekly`: a week at a glance, and what its person says of it.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    header_lines::{IfMatch, Lines},
    week_shapes::{WeekNote, WeekNoteDraft, WeeklyRecap},
};
use crate::{
    Journal,
    domain::{
        precondition::entity_tag_or_none,
        reflection::{self, Kind, Slot},
        week::Week,
    },
    reflections::{
        delete::{DeleteError, delete},
        write::{WriteError, write},
    },
    weekly::{RecapError, recap},
};

#[derive(ApiResponse)]
enum OneRecap {
    /// The week.
    #[oai(status = 200)]
    Ok(
        Json<WeeklyRecap>,
        /// The revision of its note in quotes, for `If-Match`; `"0"` as long as there is none.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum OneNote {
    /// The note.
    #[oai(status = 200)]
    Ok(
        Json<WeekNote>,
        /// The revision in quotes, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// The note is gone.
    #[oai(status = 204)]
    NoContent,
}

/// `/api/weekly`.
pub(super) struct WeeklyApi;

#[OpenApi(prefix_path = "/api/weekly", tag = "Tag::Weekly")]
impl WeeklyApi {
    /// Look at a week
    ///
    /// Computed when it is asked for, from what the person wrote about its days. Any week, also one that nothing was written
    /// in: all its numbers are 0.
    #[oai(path = "/:iso_week", method = "get", operation_id = "get_week")]
    async fn recap(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The week as ISO 8601 names it, from Monday to Sunday; W53 only in years that have it.
        #[oai(validator(pattern = "^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$"))]
        iso_week: Path<String>,
    ) -> Result<OneRecap, Problem<RecapError>> {
        let week = Week::parse(&iso_week.0).map_err(RecapError::Invalid)?;
        let recap = recap(&journal, &caller, week, journal.clock.now()).await?;
        let tag = entity_tag_or_none(recap.note.as_ref().map(|note| note.revision));
        Ok(OneRecap::Ok(Json(recap.into()), tag))
    }

    /// Write the note of a week
    ///
    /// There is one for each week: what was there is replaced. The same again changes nothing and is never a conflict, so a
    /// request whose answer was lost can be repeated. Without `If-Match` the last write wins.
    #[oai(path = "/:iso_week", method = "put", operation_id = "put_week_note")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn put_note(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The week as ISO 8601 names it, from Monday to Sunday; W53 only in years that have it.
        #[oai(validator(pattern = "^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$"))]
        iso_week: Path<String>,
        /// The `ETag` that was read: replace only this revision; `"0"`: only if there is nothing yet.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
        body: Json<WeekNoteDraft>,
    ) -> Result<OneNote, Problem<WriteError>> {
        let week = Week::parse(&iso_week.0).map_err(WriteError::parameter)?;
        let precondition = if_match.precondition().map_err(WriteError::parameter)?;
        let note = reflection::WeekNote { note: body.0.note };
        let (written, now) = ((week.monday(), note), journal.clock.now());
        let note = write(&journal, &caller, written, precondition, now).await?;
        let tag = entity_tag_or_none(Some(note.revision));
        Ok(OneNote::Ok(Json(note.into()), tag))
    }

    /// Delete the note of a week
    ///
    /// Also works for a note that does not open.
    #[oai(
        path = "/:iso_week",
        method = "delete",
        operation_id = "delete_week_note"
    )]
    async fn delete_note(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The week as ISO 8601 names it, from Monday to Sunday; W53 only in years that have it.
        #[oai(validator(pattern = "^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$"))]
        iso_week: Path<String>,
        /// The `ETag` that was read: delete only this revision.
        #[oai(name = "If-Match")]
        if_match: Lines<IfMatch>,
    ) -> Result<Deleted, Problem<DeleteError>> {
        let week = Week::parse(&iso_week.0).map_err(DeleteError::Invalid)?;
        let precondition = if_match.precondition().map_err(DeleteError::Invalid)?;
        let slot = Slot {
            kind: Kind::Week,
            date: week.monday(),
        };
        delete(&journal, &caller, slot, precondition).await?;
        Ok(Deleted::NoContent)
    }
}
