//! `/api/pillars/{id}/scores`: how a pillar went.

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

use super::{Tag, entries::default_limit, pillars::amount};
use crate::{
    Journal,
    domain::{
        pillar::PillarId,
        score::{self, ScoreId},
    },
    pillars::{
        add_score::{ScoreError, add_score},
        delete_score::{DeleteScoreError, delete_score},
        list_scores::{self, ScoresError, WantedScores, list_scores},
    },
};

/// How a pillar stood on a day, as it is written.
#[derive(Object)]
#[oai(example)]
struct ScoreDraft {
    /// In the pillar's unit, to three decimals.
    #[oai(validator(minimum(value = "-1000000000"), maximum(value = "1000000000")))]
    value: f64,
    /// The calendar day it is of, 0001-01-01 to 9999-12-31; any day, not only today.
    date: Date,
    /// At most 1,000 characters.
    #[oai(validator(max_length = 1000))]
    note: Option<String>,
}

impl Example for ScoreDraft {
    fn example() -> Self {
        Self {
            value: 7.5,
            date: date!(2026 - 11 - 24),
            note: Some("Slept well.".to_owned()),
        }
    }
}

/// How a pillar stood on a day.
#[derive(Object)]
#[oai(example)]
struct Score {
    /// A UUID of version 7: ids sort by the time of writing.
    id: Uuid,
    value: f64,
    date: Date,
    #[oai(skip_serializing_if_is_none)]
    note: Option<String>,
    created_at: OffsetDateTime,
}

impl Example for Score {
    fn example() -> Self {
        let draft = ScoreDraft::example();
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00b1),
            value: draft.value,
            date: draft.date,
            note: draft.note,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

/// Scores of one pillar: the newest day first, and within a day what was written last.
#[derive(Object)]
#[oai(example)]
struct ScorePage {
    scores: Vec<Score>,
    /// What belongs on this page and cannot be shown, because its stored form was changed. Usually empty.
    unreadable: Vec<UnreadableScore>,
    /// Send it as `after` for the next page; left out on the last one.
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

impl Example for ScorePage {
    fn example() -> Self {
        Self {
            scores: vec![Score::example()],
            unreadable: Vec::new(),
            next: None,
        }
    }
}

/// What is known of a score that does not open. It can be deleted.
#[derive(Object)]
struct UnreadableScore {
    id: Uuid,
    date: Date,
}

#[derive(ApiResponse)]
enum CreatedScore {
    /// The score was stored.
    #[oai(status = 201)]
    Created(Json<Score>),
}

#[derive(ApiResponse)]
enum DeletedScore {
    /// The score is gone.
    #[oai(status = 204)]
    NoContent,
}

/// `/api/pillars/{id}/scores`.
pub(super) struct ScoresApi;

#[OpenApi(prefix_path = "/api/pillars", tag = "Tag::Pillars")]
impl ScoresApi {
    /// Write a score of a pillar
    ///
    /// The score of the latest day, and of several of that day the one that was written last, is the pillar's `current`. Scores
    /// are not edited: delete a wrong one.
    #[oai(
        path = "/:id/scores",
        method = "post",
        operation_id = "add_pillar_score"
    )]
    async fn add(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
        body: Json<ScoreDraft>,
    ) -> Result<CreatedScore, Problem<ScoreError>> {
        let ScoreDraft { value, date, note } = body.0;
        let value = amount("value", value).map_err(|error| ScoreError::Invalid(vec![error]))?;
        let draft = score::ScoreDraft { date, value, note };
        let now = journal.clock.now();
        let score = add_score(&journal, &caller, PillarId::new(id.0), draft, now).await?;
        Ok(CreatedScore::Created(Json(score.into())))
    }

    /// List the scores of a pillar
    ///
    /// The newest day first. Go on as long as there is a `next`.
    #[oai(
        path = "/:id/scores",
        method = "get",
        operation_id = "list_pillar_scores"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parameters of the operation"
    )]
    async fn list(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
        /// `next` of the page before. Made for this list of this person; nothing else is accepted.
        #[oai(validator(max_length = 512))]
        after: Query<Option<String>>,
        /// Scores on a page, 1 to 100.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<Json<ScorePage>, Problem<ScoresError>> {
        let wanted = WantedScores {
            pillar: PillarId::new(id.0),
            after: after.0,
            limit: limit.0,
        };
        let scores = list_scores(&journal, &caller, wanted, journal.clock.now()).await?;
        Ok(Json(scores.into()))
    }

    /// Delete a score of a pillar
    ///
    /// For good. Also works for a score that does not open.
    #[oai(
        path = "/:id/scores/:score_id",
        method = "delete",
        operation_id = "delete_pillar_score"
    )]
    async fn delete(
        &self,
        caller: Caller,
        journal: Data<&Arc<Journal>>,
        /// The pillar.
        id: Path<Uuid>,
        /// The score.
        score_id: Path<Uuid>,
    ) -> Result<DeletedScore, Problem<DeleteScoreError>> {
        let (pillar, score) = (PillarId::new(id.0), ScoreId::new(score_id.0));
        delete_score(&journal, &caller, pillar, score).await?;
        Ok(DeletedScore::NoContent)
    }
}

impl From<score::Score> for Score {
    fn from(score: score::Score) -> Self {
        Self {
            id: score.id.uuid(),
            value: score.value.number(),
            date: score.date,
            note: score.note,
            created_at: score.created_at,
        }
    }
}

impl From<list_scores::ScorePage> for ScorePage {
    fn from(page: list_scores::ScorePage) -> Self {
        let unreadable = page.unreadable.into_iter();
        let unreadable = unreadable.map(|(id, date)| UnreadableScore {
            id: id.uuid(),
            date,
        });
        Self {
            scores: page.scores.into_iter().map(Score::from).collect(),
            unreadable: unreadable.collect(),
            next: page.next,
        }
    }
}
