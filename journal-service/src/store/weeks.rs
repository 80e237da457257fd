//! What a recap asks of several tables: the days that were written on, and the records of a week in parts.

use shared::{problem::Unexpected, user_id::UserId};
use time::Date;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::{entries, pillar_scores};
use crate::domain::{score::SealedScore, sealed_entry::SealedEntry};

/// The next part of the records of some days: those that come after one of them, the newest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// First day, inclusive.
    pub(crate) from: Date,
    /// Last day, inclusive.
    pub(crate) to: Date,
    /// Only what comes after that day and id.
    pub(crate) after: (Date, Uuid),
    /// Rows at most.
    pub(crate) rows: u32,
}

/// The days from the first to the last with an entry or a feel, the newest first.
pub(crate) async fn written_days(
    db: &impl GenericClient,
    user: UserId,
    (from, to): (Date, Date),
) -> Result<Vec<Date>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT date FROM entries WHERE user_id = $1 AND date BETWEEN $2 AND $3
             UNION
             SELECT date FROM reflections
             WHERE user_id = $1 AND date BETWEEN $2 AND $3 AND kind IN ('morning', 'evening')
             ORDER BY date DESC",
            &[
                (&user.uuid(), Type::UUID),
                (&from, Type::DATE),
                (&to, Type::DATE),
            ],
        )
        .await?;
    let date = |row: &Row| Ok(row.try_get("date")?);
    rows.iter().map(date).collect()
}

/// Entries without their titles and bodies, which may be long.
pub(crate) async fn entry_details(
    db: &impl GenericClient,
    user: UserId,
    part: Part,
) -> Result<Vec<SealedEntry>, Unexpected> {
    let sql = "SELECT entry_id, date, revision, created_at, updated_at, details_sealed,
                      ''::bytea AS title_sealed, ''::bytea AS body_sealed
               FROM entries WHERE user_id = $1 AND date BETWEEN $2 AND $3 AND (date, entry_id) < ($4, $5)
               ORDER BY date DESC, entry_id DESC LIMIT $6";
    let rows = taken(db, sql, user, part).await?;
    rows.iter().map(entries::read).collect()
}

/// Scores of all pillars.
pub(crate) async fn scores(
    db: &impl GenericClient,
    user: UserId,
    part: Part,
) -> Result<Vec<SealedScore>, Unexpected> {
    let sql = "SELECT pillar_id, score_id, date, created_at, content_sealed FROM pillar_scores
               WHERE user_id = $1 AND date BETWEEN $2 AND $3 AND (date, score_id) < ($4, $5)
               ORDER BY date DESC, score_id DESC LIMIT $6";
    let rows = taken(db, sql, user, part).await?;
    rows.iter().map(pillar_scores::read).collect()
}

async fn taken(
    db: &impl GenericClient,
    sql: &str,
    user: UserId,
    part: Part,
) -> Result<Vec<Row>, Unexpected> {
    Ok(db
        .query_typed(
            sql,
            &[
                (&user.uuid(), Type::UUID),
                (&part.from, Type::DATE),
                (&part.to, Type::DATE),
                (&part.after.0, Type::DATE),
                (&part.after.1, Type::UUID),
                (&i64::from(part.rows), Type::INT8),
            ],
        )
        .await?)
}
