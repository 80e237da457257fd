//! Table `reflections`: sealed rows, always asked for by their person.

use shared::{problem::Unexpected, user_id::UserId};
use time::{Date, macros::date};
use tokio_postgres::{GenericClient, Row, types::Type};

use super::entries::{Parameter, revision, time};
use crate::domain::{
    entry::Revision,
    reflection::{Kind, Slot},
    sealed_reflection::SealedReflection,
};

/// A day that Postgres knows and on which nobody wrote.
pub(crate) const BEFORE_ALL: Date = date!(0000 - 12 - 31);

/// Of which days feels are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DaysQuery {
    /// First day, inclusive.
    pub(crate) from: Date,
    /// Last day, inclusive.
    pub(crate) to: Date,
    /// Days at most.
    pub(crate) days: u32,
}

pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    slot: Slot,
) -> Result<Option<SealedReflection>, Unexpected> {
    let sql = "SELECT date, kind, revision, created_at, updated_at, content_sealed FROM reflections
               WHERE user_id = $1 AND date = $2 AND kind = $3";
    let row = db
        .query_typed_opt(sql, &placed(&user.uuid(), &slot.date, &slot.kind.name()))
        .await?;
    row.as_ref().map(read).transpose()
}

/// The revision of a reflection, which no other transaction changes until this one ends.
pub(crate) async fn lock_revision(
    db: &impl GenericClient,
    user: UserId,
    slot: Slot,
) -> Result<Option<Revision>, Unexpected> {
    let sql = "SELECT revision FROM reflections
               WHERE user_id = $1 AND date = $2 AND kind = $3 FOR UPDATE";
    let row = db
        .query_typed_opt(sql, &placed(&user.uuid(), &slot.date, &slot.kind.name()))
        .await?;
    row.map(|row| revision(&row)).transpose()
}

/// Puts a reflection in the place of the one before it, if there was one, in a transaction that holds the person's key.
pub(crate) async fn replace(
    db: &impl GenericClient,
    user: UserId,
    reflection: &SealedReflection,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO reflections (user_id, date, kind, revision, created_at, updated_at, content_sealed)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (user_id, date, kind) DO UPDATE
             SET revision = excluded.revision, updated_at = excluded.updated_at,
                 content_sealed = excluded.content_sealed",
        &[
            (&user.uuid(), Type::UUID),
            (&reflection.slot.date, Type::DATE),
            (&reflection.slot.kind.name(), Type::TEXT),
            (&reflection.revision.number(), Type::INT8),
            (&reflection.created_at, Type::TIMESTAMPTZ),
            (&reflection.updated_at, Type::TIMESTAMPTZ),
            (&reflection.content, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn delete(
    db: &impl GenericClient,
    user: UserId,
    slot: Slot,
) -> Result<(), Unexpected> {
    let sql = "DELETE FROM reflections WHERE user_id = $1 AND date = $2 AND kind = $3";
    db.execute_typed(sql, &placed(&user.uuid(), &slot.date, &slot.kind.name()))
        .await?;
    Ok(())
}

/// Feels of the latest days of those, and of one day more than asked for, to know whether there is one.
pub(crate) async fn feels(
    db: &impl GenericClient,
    user: UserId,
    query: DaysQuery,
) -> Result<Vec<SealedReflection>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT date, kind, revision, created_at, updated_at, content_sealed FROM reflections
             WHERE user_id = $1 AND kind IN ('morning', 'evening') AND date IN (
                 SELECT DISTINCT date FROM reflections
                 WHERE user_id = $1 AND kind IN ('morning', 'evening') AND date BETWEEN $2 AND $3
                 ORDER BY date DESC LIMIT $4
             )
             ORDER BY date DESC",
            &[
                (&user.uuid(), Type::UUID),
                (&query.from, Type::DATE),
                (&query.to, Type::DATE),
                (&(i64::from(query.days) + 1), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Those of these reflections that there are.
pub(crate) async fn named_rows(
    db: &impl GenericClient,
    user: UserId,
    slots: &[Slot],
) -> Result<Vec<SealedReflection>, Unexpected> {
    let dates: Vec<_> = slots.iter().map(|slot| slot.date).collect();
    let kinds: Vec<_> = slots.iter().map(|slot| slot.kind.name()).collect();
    let rows = db
        .query_typed(
            "SELECT date, kind, revision, created_at, updated_at, content_sealed
             FROM unnest($2, $3) AS wanted (day, part)
             JOIN reflections ON user_id = $1 AND date = wanted.day AND kind = wanted.part",
            &[
                (&user.uuid(), Type::UUID),
                (&dates, Type::DATE_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Reflections after that one, in the order of days, and of the names of kinds within a day.
pub(crate) async fn page_by_slot(
    db: &impl GenericClient,
    user: UserId,
    after: Option<Slot>,
    rows: u32,
) -> Result<Vec<SealedReflection>, Unexpected> {
    let (date, kind) = after.map_or((BEFORE_ALL, ""), |slot| (slot.date, slot.kind.name()));
    let rows = db
        .query_typed(
            "SELECT date, kind, revision, created_at, updated_at, content_sealed FROM reflections
             WHERE user_id = $1 AND (date, kind) > ($2, $3) ORDER BY date, kind LIMIT $4",
            &[
                (&user.uuid(), Type::UUID),
                (&date, Type::DATE),
                (&kind, Type::TEXT),
                (&i64::from(rows), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn placed<'a>(user: &'a uuid::Uuid, date: &'a Date, kind: &'a &'static str) -> [Parameter<'a>; 3] {
    [(user, Type::UUID), (date, Type::DATE), (kind, Type::TEXT)]
}

fn read(row: &Row) -> Result<SealedReflection, Unexpected> {
    let name: &str = row.try_get("kind")?;
    let kind = Kind::named(name);
    let kind = kind.ok_or_else(|| Unexpected::bug("impossible kind in reflections"))?;
    Ok(SealedReflection {
        slot: Slot {
            kind,
            date: row.try_get("date")?,
        },
        revision: revision(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        content: row.try_get("content_sealed")?,
    })
}
