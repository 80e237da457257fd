//! Table `pillars`: sealed rows, always asked for by their person, each with its newest score.

use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::{GenericClient, Row, Transaction, types::Type};
use uuid::Uuid;

use super::{
    entries::{named, revision, time},
    pillar_scores,
};
use crate::domain::{
    entry::Revision, pillar::PillarId, score::SealedScore, sealed_pillar::SealedPillar,
};

/// A pillar and what was last said of it.
pub(crate) struct PillarRow {
    pub(crate) pillar: SealedPillar,
    pub(crate) newest: Option<SealedScore>,
}

/// Stores a pillar, in a transaction that holds the person's key.
pub(crate) async fn insert(
    db: &impl GenericClient,
    user: UserId,
    pillar: &SealedPillar,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO pillars (user_id, pillar_id, revision, created_at, updated_at, content_sealed)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            (&user.uuid(), Type::UUID),
            (&pillar.id.uuid(), Type::UUID),
            (&pillar.revision.number(), Type::INT8),
            (&pillar.created_at, Type::TIMESTAMPTZ),
            (&pillar.updated_at, Type::TIMESTAMPTZ),
            (&pillar.content, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}

/// All pillars of a person, in the order of their ids.
pub(crate) async fn all(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Vec<PillarRow>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT pillars.pillar_id, revision, pillars.created_at, updated_at, pillars.content_sealed,
                    score_id, date, newest.created_at AS score_created_at, newest.content_sealed AS score_sealed
             FROM pillars LEFT JOIN LATERAL (
                 SELECT score_id, date, created_at, content_sealed FROM pillar_scores
                 WHERE user_id = $1 AND pillar_id = pillars.pillar_id
                 ORDER BY date DESC, score_id DESC LIMIT 1
             ) AS newest ON true
             WHERE pillars.user_id = $1 ORDER BY pillars.pillar_id",
            &[(&user.uuid(), Type::UUID)],
        )
        .await?;
    rows.iter().map(read).collect()
}

pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    id: PillarId,
) -> Result<Option<PillarRow>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT pillars.pillar_id, revision, pillars.created_at, updated_at, pillars.content_sealed,
                    score_id, date, newest.created_at AS score_created_at, newest.content_sealed AS score_sealed
             FROM pillars LEFT JOIN LATERAL (
                 SELECT score_id, date, created_at, content_sealed FROM pillar_scores
                 WHERE user_id = $1 AND pillar_id = $2
                 ORDER BY date DESC, score_id DESC LIMIT 1
             ) AS newest ON true
             WHERE pillars.user_id = $1 AND pillars.pillar_id = $2",
            &named(&user.uuid(), &id.uuid()),
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Those of these pillars that there are, without their scores.
pub(crate) async fn named_rows(
    db: &impl GenericClient,
    user: UserId,
    ids: &[Uuid],
) -> Result<Vec<SealedPillar>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT pillar_id, revision, created_at, updated_at, content_sealed FROM pillars
             WHERE user_id = $1 AND pillar_id = ANY ($2)",
            &[(&user.uuid(), Type::UUID), (&ids, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter().map(read_alone).collect()
}

/// All pillars of a person without their scores, in the order of their ids.
pub(crate) async fn all_rows(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Vec<SealedPillar>, Unexpected> {
    let sql = "SELECT pillar_id, revision, created_at, updated_at, content_sealed FROM pillars
               WHERE user_id = $1 ORDER BY pillar_id";
    let rows = db.query_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    rows.iter().map(read_alone).collect()
}

/// The pillars that a person has, which nobody deletes until this transaction ends.
pub(crate) async fn keep(
    transaction: &Transaction<'_>,
    user: UserId,
) -> Result<Vec<PillarId>, Unexpected> {
    let sql = "SELECT pillar_id FROM pillars WHERE user_id = $1 ORDER BY pillar_id FOR KEY SHARE";
    let rows = transaction
        .query_typed(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    rows.iter().map(read_id).collect()
}

/// The revision of a pillar, which no other transaction changes until this one ends.
pub(crate) async fn lock_revision(
    db: &impl GenericClient,
    user: UserId,
    id: PillarId,
) -> Result<Option<Revision>, Unexpected> {
    let sql = "SELECT revision FROM pillars WHERE user_id = $1 AND pillar_id = $2 FOR UPDATE";
    let row = db
        .query_typed_opt(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    row.map(|row| revision(&row)).transpose()
}

/// Puts the next revision in the place of the one before it; `false` when another one is there.
pub(crate) async fn replace(
    db: &impl GenericClient,
    user: UserId,
    pillar: &SealedPillar,
    before: Revision,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "UPDATE pillars SET revision = $4, updated_at = $5, content_sealed = $6
             WHERE user_id = $1 AND pillar_id = $2 AND revision = $3",
            &[
                (&user.uuid(), Type::UUID),
                (&pillar.id.uuid(), Type::UUID),
                (&before.number(), Type::INT8),
                (&pillar.revision.number(), Type::INT8),
                (&pillar.updated_at, Type::TIMESTAMPTZ),
                (&pillar.content, Type::BYTEA),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Deletes a pillar and its scores.
pub(crate) async fn delete(
    db: &impl GenericClient,
    user: UserId,
    id: PillarId,
) -> Result<(), Unexpected> {
    let sql = "DELETE FROM pillars WHERE user_id = $1 AND pillar_id = $2";
    db.execute_typed(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    Ok(())
}

/// The pillars that a person has.
pub(crate) async fn ids(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Vec<PillarId>, Unexpected> {
    let sql = "SELECT pillar_id FROM pillars WHERE user_id = $1";
    let rows = db.query_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    rows.iter().map(read_id).collect()
}

fn read_id(row: &Row) -> Result<PillarId, Unexpected> {
    Ok(PillarId::new(row.try_get("pillar_id")?))
}

fn read_alone(row: &Row) -> Result<SealedPillar, Unexpected> {
    Ok(SealedPillar {
        id: read_id(row)?,
        revision: revision(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        content: row.try_get("content_sealed")?,
    })
}

fn read(row: &Row) -> Result<PillarRow, Unexpected> {
    let pillar = read_alone(row)?;
    let newest = pillar_scores::beside(row, pillar.id)?;
    Ok(PillarRow { pillar, newest })
}
