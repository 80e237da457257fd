//! Table `shreds`, and the end of a slot: what a subject's row is without its salt.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, Transaction, types::Type};
use uuid::Uuid;

use crate::domain::shred::{Purged, Shred};

const COLUMNS: &str = "shred_id, subject, requested_at, purge_at, purged_at, receipt";

/// Begins a shred, or finds the one that there is: its end may come sooner by this, never later.
pub(crate) async fn begin(
    db: &impl GenericClient,
    subject: Uuid,
    shred_id: Uuid,
    now: OffsetDateTime,
    purge_at: OffsetDateTime,
) -> Result<Shred, Unexpected> {
    let row = db
        .query_typed_one(
            &format!(
                "INSERT INTO shreds (shred_id, subject, requested_at, purge_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (subject) DO UPDATE SET purge_at = least(shreds.purge_at, excluded.purge_at)
                 RETURNING {COLUMNS}"
            ),
            &[
                (&shred_id, Type::UUID),
                (&subject, Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&purge_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    read(&row)
}

/// The shred of that id.
pub(crate) async fn by_id(
    db: &impl GenericClient,
    shred_id: Uuid,
) -> Result<Option<Shred>, Unexpected> {
    let sql = format!("SELECT {COLUMNS} FROM shreds WHERE shred_id = $1");
    one(db, &sql, shred_id).await
}

/// The shred of that subject.
pub(crate) async fn by_subject(
    db: &impl GenericClient,
    subject: Uuid,
) -> Result<Option<Shred>, Unexpected> {
    let sql = format!("SELECT {COLUMNS} FROM shreds WHERE subject = $1");
    one(db, &sql, subject).await
}

/// The shred of that subject, which nobody else ends or takes back until the transaction ends.
pub(crate) async fn lock(
    transaction: &Transaction<'_>,
    subject: Uuid,
) -> Result<Option<Shred>, Unexpected> {
    let sql = format!("SELECT {COLUMNS} FROM shreds WHERE subject = $1 FOR UPDATE");
    one(transaction, &sql, subject).await
}

/// Takes a shred back while there is time; `false` when there was none to take back.
pub(crate) async fn cancel(
    db: &impl GenericClient,
    subject: Uuid,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "DELETE FROM shreds WHERE subject = $1 AND purged_at IS NULL AND purge_at > $2",
            &[(&subject, Type::UUID), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(rows == 1)
}

/// A shred whose time has come, locked; those that another replica is ending are left to it.
pub(crate) async fn lock_due(
    transaction: &Transaction<'_>,
    now: OffsetDateTime,
) -> Result<Option<Shred>, Unexpected> {
    let row = transaction
        .query_typed_opt(
            &format!(
                "SELECT {COLUMNS} FROM shreds WHERE purged_at IS NULL AND purge_at <= $1
                 ORDER BY purge_at LIMIT 1 FOR UPDATE SKIP LOCKED"
            ),
            &[(&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Destroys the salt of a shred's subject and leaves the tombstone; the master keys of its data keys are no longer
/// held back by them. Works for a subject that never had a salt, which it then never gets.
pub(crate) async fn bury(
    transaction: &Transaction<'_>,
    shred: &Shred,
    purged: &Purged,
) -> Result<(), Unexpected> {
    transaction
        .execute_typed(
            "INSERT INTO shreds (shred_id, subject, requested_at, purge_at, purged_at, receipt)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (subject) DO UPDATE
             SET shred_id = excluded.shred_id, requested_at = excluded.requested_at,
                 purge_at = excluded.purge_at, purged_at = excluded.purged_at, receipt = excluded.receipt",
            &[
                (&shred.id, Type::UUID),
                (&shred.subject, Type::UUID),
                (&shred.requested_at, Type::TIMESTAMPTZ),
                (&shred.purge_at, Type::TIMESTAMPTZ),
                (&purged.at, Type::TIMESTAMPTZ),
                (&purged.receipt, Type::TEXT),
            ],
        )
        .await?;
    transaction
        .execute_typed(
            "INSERT INTO subjects (subject, created_at) VALUES ($1, $2)
             ON CONFLICT (subject) DO UPDATE SET sealed_salt = NULL, mek_version = NULL",
            &[
                (&shred.subject, Type::UUID),
                (&purged.at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    transaction
        .execute_typed(
            "DELETE FROM data_keys WHERE subject = $1",
            &[(&shred.subject, Type::UUID)],
        )
        .await?;
    Ok(())
}

/// The shreds that were ended at `since` or later.
pub(crate) async fn purged_since(
    db: &impl GenericClient,
    since: OffsetDateTime,
) -> Result<Vec<Shred>, Unexpected> {
    let rows = db
        .query_typed(
            &format!("SELECT {COLUMNS} FROM shreds WHERE purged_at >= $1 ORDER BY purged_at"),
            &[(&since, Type::TIMESTAMPTZ)],
        )
        .await?;
    rows.iter().map(read).collect()
}

async fn one(db: &impl GenericClient, sql: &str, id: Uuid) -> Result<Option<Shred>, Unexpected> {
    let row = db.query_typed_opt(sql, &[(&id, Type::UUID)]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Shred, Unexpected> {
    let (at, receipt): (Option<OffsetDateTime>, Option<String>) =
        (time_if_any(row, "purged_at")?, row.try_get("receipt")?);
    Ok(Shred {
        id: row.try_get("shred_id")?,
        subject: row.try_get("subject")?,
        requested_at: time(row, "requested_at")?,
        purge_at: time(row, "purge_at")?,
        purged: at.zip(receipt).map(|(at, receipt)| Purged { at, receipt }),
    })
}
