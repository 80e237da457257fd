//! Table `entry_revisions`: what each edit has replaced, as it was.

use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::{GenericClient, types::Type};

use super::entries::{Page, read_page};
use crate::domain::{
    entry::{EntryId, REVISIONS_KEPT, Revision},
    sealed_entry::SealedEntry,
};

/// Keeps the entry as it is now, before an edit, and forgets what is too old.
pub(crate) async fn keep(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO entry_revisions (user_id, entry_id, date, revision, created_at, updated_at,
                                      title_sealed, body_sealed, details_sealed)
         SELECT user_id, entry_id, date, revision, created_at, updated_at,
                title_sealed, body_sealed, details_sealed
         FROM entries WHERE user_id = $1 AND entry_id = $2",
        &[(&user.uuid(), Type::UUID), (&id.uuid(), Type::UUID)],
    )
    .await?;
    db.execute_typed(
        "DELETE FROM entry_revisions
         WHERE user_id = $1 AND entry_id = $2 AND revision <=
               (SELECT revision FROM entries WHERE user_id = $1 AND entry_id = $2) - $3",
        &[
            (&user.uuid(), Type::UUID),
            (&id.uuid(), Type::UUID),
            (&REVISIONS_KEPT, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

/// An entry as it was when it was written, if that is kept.
pub(crate) async fn first(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<Option<SealedEntry>, Unexpected> {
    let second = Revision::FIRST.next();
    let page = before(db, user, id, Some(second), (1, i64::MAX)).await?;
    Ok(page.rows.into_iter().next())
}

/// Revisions of an entry before that one, the newest first, and the one that counts among them. Empty, too, when there is no
/// such entry.
pub(crate) async fn before(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
    revision: Option<Revision>,
    (rows, bytes): (u32, i64),
) -> Result<Page, Unexpected> {
    let rows = db
        .query_typed(
            "WITH every AS (
                SELECT entry_id, date, revision, created_at, updated_at,
                       title_sealed, body_sealed, details_sealed
                FROM entries WHERE user_id = $1 AND entry_id = $2
                UNION ALL
                SELECT entry_id, date, revision, created_at, updated_at,
                       title_sealed, body_sealed, details_sealed
                FROM entry_revisions WHERE user_id = $1 AND entry_id = $2
             ), candidates AS (
                SELECT * FROM every WHERE $3 IS NULL OR revision < $3 ORDER BY revision DESC LIMIT $4 + 1
             ), page AS (
                SELECT *, row_number() OVER listed <= $4
                          AND (row_number() OVER listed = 1 OR
                               sum(octet_length(title_sealed) + octet_length(body_sealed)
                                   + octet_length(details_sealed)) OVER listed <= $5) AS taken
                FROM candidates WINDOW listed AS (ORDER BY revision DESC)
             )
             SELECT entry_id, date, revision, created_at, updated_at, taken,
                    CASE WHEN taken THEN title_sealed END AS title_sealed,
                    CASE WHEN taken THEN body_sealed END AS body_sealed,
                    CASE WHEN taken THEN details_sealed END AS details_sealed
             FROM page ORDER BY revision DESC",
            &[
                (&user.uuid(), Type::UUID),
                (&id.uuid(), Type::UUID),
                (&revision.map(Revision::number), Type::INT8),
                (&i64::from(rows), Type::INT8),
                (&bytes, Type::INT8),
            ],
        )
        .await?;
    read_page(&rows)
}

/// Revisions of several entries, each entry's below that one, the newest first, in the order of their ids.
pub(crate) async fn of_several(
    db: &impl GenericClient,
    user: UserId,
    below: &[(EntryId, Revision)],
    (rows, bytes): (u32, i64),
) -> Result<Page, Unexpected> {
    let ids: Vec<_> = below.iter().map(|(id, _)| id.uuid()).collect();
    let revisions: Vec<_> = below.iter().map(|(_, it)| it.number()).collect();
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, taken,
                    CASE WHEN taken THEN title_sealed END AS title_sealed,
                    CASE WHEN taken THEN body_sealed END AS body_sealed,
                    CASE WHEN taken THEN details_sealed END AS details_sealed
             FROM (
                SELECT *, row_number() OVER listed <= $4
                          AND (row_number() OVER listed = 1 OR
                               sum(octet_length(title_sealed) + octet_length(body_sealed)
                                   + octet_length(details_sealed)) OVER listed <= $5) AS taken
                FROM (
                    SELECT entry_revisions.* FROM unnest($2, $3) AS wanted (id, below)
                    JOIN entry_revisions ON user_id = $1 AND entry_id = wanted.id AND revision < wanted.below
                    ORDER BY entry_id, revision DESC LIMIT $4 + 1
                ) AS candidates
                WINDOW listed AS (ORDER BY entry_id, revision DESC)
             ) AS page
             ORDER BY entry_id, revision DESC",
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&revisions, Type::INT8_ARRAY),
                (&i64::from(rows), Type::INT8),
                (&bytes, Type::INT8),
            ],
        )
        .await?;
    read_page(&rows)
}
