//! What an import has read so far: in tables of its own transaction, which nobody else sees and which go with it.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Transaction, types::Type};
use uuid::Uuid;

use super::entries;
use crate::domain::{
    entry::Revision, score::SealedScore, sealed_entry::SealedEntry, sealed_pillar::SealedPillar,
    sealed_reflection::SealedReflection,
};

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

/// Makes the tables.
pub(crate) async fn prepare(transaction: &Transaction<'_>) -> Result<(), Unexpected> {
    for table in [
        "entries",
        "entry_revisions",
        "pillars",
        "pillar_scores",
        "reflections",
    ] {
        let sql = format!(
            "CREATE TEMPORARY TABLE imported_{table} (LIKE {table} INCLUDING STORAGE) ON COMMIT DROP"
        );
        transaction.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Puts entries into them.
pub(crate) async fn put_entries(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedEntry],
) -> Result<(), Unexpected> {
    put_into(transaction, "entries", user, rows).await
}

/// Puts revisions of entries into them.
pub(crate) async fn put_revisions(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedEntry],
) -> Result<(), Unexpected> {
    put_into(transaction, "entry_revisions", user, rows).await
}

async fn put_into(
    transaction: &Transaction<'_>,
    table: &str,
    user: UserId,
    rows: &[SealedEntry],
) -> Result<(), Unexpected> {
    if rows.is_empty() {
        return Ok(());
    }
    let each = |part: fn(&SealedEntry) -> &Vec<u8>| rows.iter().map(part).collect::<Vec<_>>();
    let stamps = Stamps::of(
        rows.iter()
            .map(|it| (it.revision, it.created_at, it.updated_at)),
    );
    let ids: Vec<_> = rows.iter().map(|row| row.id.uuid()).collect();
    let dates: Vec<_> = rows.iter().map(|row| row.date).collect();
    let sql = format!(
        "INSERT INTO pg_temp.imported_{table} (user_id, entry_id, date, revision, created_at, updated_at,
                                               title_sealed, body_sealed, details_sealed)
         SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)"
    );
    transaction
        .execute_typed(
            &sql,
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&dates, Type::DATE_ARRAY),
                (&stamps.revisions, Type::INT8_ARRAY),
                (&stamps.created, Type::TIMESTAMPTZ_ARRAY),
                (&stamps.updated, Type::TIMESTAMPTZ_ARRAY),
                (&each(|row| &row.title), Type::BYTEA_ARRAY),
                (&each(|row| &row.body), Type::BYTEA_ARRAY),
                (&each(|row| &row.details), Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Puts pillars into them.
pub(crate) async fn put_pillars(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedPillar],
) -> Result<(), Unexpected> {
    if rows.is_empty() {
        return Ok(());
    }
    let stamps = Stamps::of(
        rows.iter()
            .map(|it| (it.revision, it.created_at, it.updated_at)),
    );
    let ids: Vec<_> = rows.iter().map(|row| row.id.uuid()).collect();
    let contents: Vec<_> = rows.iter().map(|row| &row.content).collect();
    transaction
        .execute_typed(
            "INSERT INTO pg_temp.imported_pillars (user_id, pillar_id, revision, created_at, updated_at, content_sealed)
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6)",
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&stamps.revisions, Type::INT8_ARRAY),
                (&stamps.created, Type::TIMESTAMPTZ_ARRAY),
                (&stamps.updated, Type::TIMESTAMPTZ_ARRAY),
                (&contents, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Puts scores into them.
pub(crate) async fn put_scores(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedScore],
) -> Result<(), Unexpected> {
    if rows.is_empty() {
        return Ok(());
    }
    let pillars: Vec<_> = rows.iter().map(|row| row.pillar.uuid()).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.id.uuid()).collect();
    let dates: Vec<_> = rows.iter().map(|row| row.date).collect();
    let created: Vec<_> = rows.iter().map(|row| row.created_at).collect();
    let contents: Vec<_> = rows.iter().map(|row| &row.content).collect();
    transaction
        .execute_typed(
            "INSERT INTO pg_temp.imported_pillar_scores (user_id, pillar_id, score_id, date, created_at, content_sealed)
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6)",
            &[
                (&user.uuid(), Type::UUID),
                (&pillars, Type::UUID_ARRAY),
                (&ids, Type::UUID_ARRAY),
                (&dates, Type::DATE_ARRAY),
                (&created, Type::TIMESTAMPTZ_ARRAY),
                (&contents, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Puts reflections into them.
pub(crate) async fn put_reflections(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &[SealedReflection],
) -> Result<(), Unexpected> {
    if rows.is_empty() {
        return Ok(());
    }
    let stamps = Stamps::of(
        rows.iter()
            .map(|it| (it.revision, it.created_at, it.updated_at)),
    );
    let dates: Vec<_> = rows.iter().map(|row| row.slot.date).collect();
    let kinds: Vec<_> = rows.iter().map(|row| row.slot.kind.name()).collect();
    let contents: Vec<_> = rows.iter().map(|row| &row.content).collect();
    transaction
        .execute_typed(
            "INSERT INTO pg_temp.imported_reflections (user_id, date, kind, revision, created_at, updated_at, content_sealed)
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7)",
            &[
                (&user.uuid(), Type::UUID),
                (&dates, Type::DATE_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
                (&stamps.revisions, Type::INT8_ARRAY),
                (&stamps.created, Type::TIMESTAMPTZ_ARRAY),
                (&stamps.updated, Type::TIMESTAMPTZ_ARRAY),
                (&contents, Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Columns that most records have.
struct Stamps {
    revisions: Vec<i64>,
    created: Vec<Option<OffsetDateTime>>,
    updated: Vec<Option<OffsetDateTime>>,
}

impl Stamps {
    fn of(
        rows: impl Iterator<Item = (Revision, Option<OffsetDateTime>, Option<OffsetDateTime>)> + Clone,
    ) -> Self {
        Self {
            revisions: rows
                .clone()
                .map(|(revision, ..)| revision.number())
                .collect(),
            created: rows.clone().map(|(_, created, _)| created).collect(),
            updated: rows.map(|(.., updated)| updated).collect(),
        }
    }
}

/// Which of these entries are there already. One whose title or body is of another length is not sent: it is another. Details
/// that show the same may differ, by pillars that are not there any more.
pub(crate) async fn existing_entries(
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

/// Whose key stays until what is inserted beside it is stored.
const BESIDE_THE_KEY: &str = "(SELECT FROM data_keys WHERE user_id = $1 ORDER BY generation DESC LIMIT 1 FOR KEY SHARE) AS key";

/// Makes them records of the journal. How many; fewer when the key is gone, a pillar is, or what was not there came meanwhile.
pub(crate) async fn store(transaction: &Transaction<'_>, user: UserId) -> Result<u64, Unexpected> {
    // Pillars before what names them.
    let statements = [
        format!(
            "INSERT INTO pillars (user_id, pillar_id, revision, created_at, updated_at, content_sealed)
             SELECT user_id, pillar_id, revision, created_at, updated_at, content_sealed
             FROM pg_temp.imported_pillars, {BESIDE_THE_KEY} ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO pillar_scores (user_id, pillar_id, score_id, date, created_at, content_sealed)
             SELECT user_id, pillar_id, score_id, date, created_at, content_sealed
             FROM pg_temp.imported_pillar_scores JOIN (SELECT pillar_id FROM pillars WHERE user_id = $1) AS there
                  USING (pillar_id), {BESIDE_THE_KEY} ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO entries (user_id, entry_id, date, revision, created_at, updated_at,
                                  title_sealed, body_sealed, details_sealed)
             SELECT user_id, entry_id, date, revision, created_at, updated_at,
                    title_sealed, body_sealed, details_sealed
             FROM pg_temp.imported_entries, {BESIDE_THE_KEY} ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO reflections (user_id, date, kind, revision, created_at, updated_at, content_sealed)
             SELECT user_id, date, kind, revision, created_at, updated_at, content_sealed
             FROM pg_temp.imported_reflections, {BESIDE_THE_KEY} ON CONFLICT DO NOTHING"
        ),
    ];
    let mut stored = 0;
    for sql in statements {
        stored += transaction
            .execute_typed(&sql, &[(&user.uuid(), Type::UUID)])
            .await?;
    }
    Ok(stored)
}

/// The same of revisions, whose entries this very transaction has stored.
pub(crate) async fn store_revisions(
    transaction: &Transaction<'_>,
    user: UserId,
) -> Result<u64, Unexpected> {
    let sql = format!(
        "INSERT INTO entry_revisions (user_id, entry_id, date, revision, created_at, updated_at,
                                      title_sealed, body_sealed, details_sealed)
         SELECT user_id, entry_id, date, revision, created_at, updated_at,
                title_sealed, body_sealed, details_sealed
         FROM pg_temp.imported_entry_revisions, {BESIDE_THE_KEY}"
    );
    let stored = transaction
        .execute_typed(&sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    Ok(stored)
}
