//! Table `pillar_scores`: sealed rows, always asked for by their person.

use shared::{problem::Unexpected, user_id::UserId};
use time::Date;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::entries::{named, time};
use crate::domain::{
    pillar::PillarId,
    score::{ScoreId, SealedScore},
};

/// Stores a score beside its pillar and its person's key, which both stay until it is stored; `false` when one of them is gone.
pub(crate) async fn insert(
    db: &impl GenericClient,
    user: UserId,
    score: &SealedScore,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO pillar_scores (user_id, pillar_id, score_id, date, created_at, content_sealed)
             SELECT $1, $2, $3, $4, $5, $6
             FROM (SELECT FROM data_keys WHERE user_id = $1 ORDER BY generation DESC LIMIT 1 FOR KEY SHARE) AS key,
                  (SELECT FROM pillars WHERE user_id = $1 AND pillar_id = $2 FOR KEY SHARE) AS pillar",
            &[
                (&user.uuid(), Type::UUID),
                (&score.pillar.uuid(), Type::UUID),
                (&score.id.uuid(), Type::UUID),
                (&score.date, Type::DATE),
                (&score.created_at, Type::TIMESTAMPTZ),
                (&score.content, Type::BYTEA),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Scores of a pillar after that position, the newest day first: one row more than asked for, to know whether there is one.
pub(crate) async fn page(
    db: &impl GenericClient,
    user: UserId,
    pillar: PillarId,
    (day, id): (Date, Uuid),
    rows: u32,
) -> Result<Vec<SealedScore>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT pillar_id, score_id, date, created_at, content_sealed FROM pillar_scores
             WHERE user_id = $1 AND pillar_id = $2 AND (date, score_id) < ($3, $4)
             ORDER BY date DESC, score_id DESC LIMIT $5",
            &[
                (&user.uuid(), Type::UUID),
                (&pillar.uuid(), Type::UUID),
                (&day, Type::DATE),
                (&id, Type::UUID),
                (&(i64::from(rows) + 1), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Those of these scores that there are.
pub(crate) async fn named_rows(
    db: &impl GenericClient,
    user: UserId,
    ids: &[Uuid],
) -> Result<Vec<SealedScore>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT pillar_id, score_id, date, created_at, content_sealed FROM pillar_scores
             WHERE user_id = $1 AND score_id = ANY ($2)",
            &[(&user.uuid(), Type::UUID), (&ids, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Scores of all pillars after an id, in the order of ids.
pub(crate) async fn page_by_id(
    db: &impl GenericClient,
    user: UserId,
    after: Uuid,
    rows: u32,
) -> Result<Vec<SealedScore>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT pillar_id, score_id, date, created_at, content_sealed FROM pillar_scores
             WHERE user_id = $1 AND score_id > $2 ORDER BY score_id LIMIT $3",
            &[
                (&user.uuid(), Type::UUID),
                (&after, Type::UUID),
                (&i64::from(rows), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Deletes a score; `false` when there is none of that id.
pub(crate) async fn delete(
    db: &impl GenericClient,
    user: UserId,
    pillar: PillarId,
    id: ScoreId,
) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM pillar_scores WHERE user_id = $1 AND score_id = $2 AND pillar_id = $3";
    let (user, id, pillar) = (user.uuid(), id.uuid(), pillar.uuid());
    let [user, id] = named(&user, &id);
    let rows = db
        .execute_typed(sql, &[user, id, (&pillar, Type::UUID)])
        .await?;
    Ok(rows == 1)
}

/// The newest score that stands beside a pillar in a row, if there is one.
pub(super) fn beside(row: &Row, pillar: PillarId) -> Result<Option<SealedScore>, Unexpected> {
    let (id, date): (Option<_>, Option<Date>) = (row.try_get("score_id")?, row.try_get("date")?);
    let Some((id, date)) = id.zip(date) else {
        return Ok(None);
    };
    Ok(Some(SealedScore {
        id: ScoreId::new(id),
        pillar,
        date,
        created_at: time(row, "score_created_at")?,
        content: row.try_get("score_sealed")?,
    }))
}

pub(super) fn read(row: &Row) -> Result<SealedScore, Unexpected> {
    Ok(SealedScore {
        id: ScoreId::new(row.try_get("score_id")?),
        pillar: PillarId::new(row.try_get("pillar_id")?),
        date: row.try_get("date")?,
        created_at: time(row, "created_at")?,
        content: row.try_get("content_sealed")?,
    })
}
