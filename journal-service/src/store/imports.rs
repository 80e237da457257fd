//! What an import has read so far: in a table of its own transaction, which nobody else sees and which goes with it.

use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::{GenericClient, Transaction, types::Type};
use uuid::Uuid;

use super::entries;
use crate::domain::sealed_entry::SealedEntry;

/// An entry that is there and has the id of one of a file.
pub(crate) struct Existing {
    pub(crate) id: Uuid,
    /// `None` when it is longer or shorter than that one, and so another.
    pub(crate) row: Option<SealedEntry>,
}

/// Makes other imports into this journal fail until the transaction ends; `false` when there is one.
pub(crate) async fn claim(transaction: &Transaction<'_>, user: UserId) -> Result<bool, Unexpected> {
    let sql = "SELECT pg_try_advisory_xact_lock(hashtextextended('import ' || $1, 0))";
    let row = transaction
        .query_typed_one(sql, &[(&user.to_string(), Type::TEXT)])
        .await?;
    Ok(row.try_get(0)?)
}

/// Makes the table.
pub(crate) async fn prepare(transaction: &Transaction<'_>) -> Result<(), Unexpected> {
    let sql = "CREATE TEMPORARY TABLE imported (LIKE entries INCLUDING STORAGE) ON COMMIT DROP";
    transaction.batch_execute(sql).await?;
    Ok(())
}

/// Puts entries into it.
pub(crate) async fn put(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedEntry],
) -> Result<(), Unexpected> {
    let each = |part: fn(&SealedEntry) -> &Vec<u8>| rows.iter().map(part).collect::<Vec<_>>();
    let ids: Vec<_> = rows.iter().map(|row| row.id.uuid()).collect();
    let dates: Vec<_> = rows.iter().map(|row| row.date).collect();
    let revisions: Vec<_> = rows.iter().map(|row| row.revision.number()).collect();
    let created: Vec<_> = rows.iter().map(|row| row.created_at).collect();
    let updated: Vec<_> = rows.iter().map(|row| row.updated_at).collect();
    transaction
        .execute_typed(
            "INSERT INTO pg_temp.imported (user_id, entry_id, date, revision, created_at, updated_at,
                                           title_sealed, body_sealed, details_sealed)
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&dates, Type::DATE_ARRAY),
                (&revisions, Type::INT8_ARRAY),
                (&created, Type::TIMESTAMPTZ_ARRAY),
                (&updated, Type::TIMESTAMPTZ_ARRAY),
                (&each(|row| &row.title), Type::BYTEA_ARRAY),
                (&each(|row| &row.body), Type::BYTEA_ARRAY),
                (&each(|row| &row.details), Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Which of these entries are there already. One whose title or body is of another length is not sent: it is another. Details
/// that show the same may differ, by pillars that are not there any more.
pub(crate) async fn existing(
    db: &impl GenericClient,
    user: UserId,
    wanted: &[SealedEntry],
) -> Result<Vec<Existing>, Unexpected> {
    let ids: Vec<_> = wanted.iter().map(|row| row.id.uuid()).collect();
    let length = |part: fn(&SealedEntry) -> &Vec<u8>| {
        let lengths = wanted.iter().map(|row| i32::try_from(part(row).len()));
        lengths
            .map(|length| length.unwrap_or(i32::MAX))
            .collect::<Vec<_>>()
    };
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, alike,
                    CASE WHEN alike THEN title_sealed END AS title_sealed,
                    CASE WHEN alike THEN body_sealed END AS body_sealed,
                    CASE WHEN alike THEN details_sealed END AS details_sealed
             FROM (
                SELECT entries.*, (octet_length(title_sealed), octet_length(body_sealed))
                                  = (wanted.title, wanted.body) AS alike
                FROM unnest($2, $3, $4) AS wanted (id, title, body)
                JOIN entries ON user_id = $1 AND entry_id = wanted.id
             ) AS there",
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&length(|row| &row.title), Type::INT4_ARRAY),
                (&length(|row| &row.body), Type::INT4_ARRAY),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let alike: bool = row.try_get("alike")?;
        Ok(Existing {
            id: row.try_get("entry_id")?,
            row: alike.then(|| entries::read(row)).transpose()?,
        })
    };
    rows.iter().map(read).collect()
}

/// Makes them entries, beside their person's key, which stays until they are stored. How many; none when the key is gone.
pub(crate) async fn store(transaction: &Transaction<'_>, user: UserId) -> Result<u64, Unexpected> {
    let rows = transaction.execute_typed(
        "INSERT INTO entries (user_id, entry_id, date, revision, created_at, updated_at,
                              title_sealed, body_sealed, details_sealed)
         SELECT user_id, entry_id, date, revision, created_at, updated_at,
                title_sealed, body_sealed, details_sealed
         FROM pg_temp.imported,
              (SELECT FROM data_keys WHERE user_id = $1 ORDER BY generation DESC LIMIT 1 FOR KEY SHARE) AS key
         ON CONFLICT DO NOTHING",
        &[(&user.uuid(), Type::UUID)],
    )
    .await?;
    Ok(rows)
}
