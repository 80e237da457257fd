//! Table `entries`: sealed rows, always asked for by their person.

use shared::{problem::Unexpected, user_id::UserId, vault_client::WrappedKey};
use time::{Date, OffsetDateTime};
use tokio_postgres::{
    GenericClient, Row,
    types::{FromSql, Type},
};
use uuid::Uuid;

use crate::domain::{
    cursor::Position,
    entry::{EntryId, Revision},
    sealed_entry::SealedEntry,
};

/// Which rows a page holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuery {
    /// First day, inclusive.
    pub(crate) from: Date,
    /// Last day, inclusive.
    pub(crate) to: Date,
    /// Only what comes after this in the order of lists.
    pub(crate) after: Position,
    /// Rows at most.
    pub(crate) rows: u32,
    /// Sealed bytes after which no further row is taken; the first one always is.
    pub(crate) bytes: i64,
}

/// Rows in the order of lists, and whether more follow.
pub(crate) struct Page {
    pub(crate) rows: Vec<SealedEntry>,
    pub(crate) more: bool,
}

/// Stores an entry beside the key that it was sealed under, which stays until it is stored; `false` when that key is not there
/// in these bytes any more, or the journal is closed. No other key is ever wrapped in the same bytes.
pub(crate) async fn insert(
    db: &impl GenericClient,
    user: UserId,
    entry: &SealedEntry,
    beside: &WrappedKey,
) -> Result<bool, Unexpected> {
    let row = db
        .query_typed_one(
            "SELECT store_entry($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                (&user.uuid(), Type::UUID),
                (&entry.id.uuid(), Type::UUID),
                (&entry.date, Type::DATE),
                (&entry.revision.number(), Type::INT8),
                (&entry.created_at, Type::TIMESTAMPTZ),
                (&entry.updated_at, Type::TIMESTAMPTZ),
                (&entry.title, Type::BYTEA),
                (&entry.body, Type::BYTEA),
                (&entry.details, Type::BYTEA),
                (&beside.bytes(), Type::BYTEA),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<Option<SealedEntry>, Unexpected> {
    let sql = "SELECT entry_id, date, revision, created_at, updated_at,
                      title_sealed, body_sealed, details_sealed
               FROM entries WHERE user_id = $1 AND entry_id = $2";
    let row = db
        .query_typed_opt(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    row.as_ref().map(read).transpose()
}

/// As [`find`], and no other transaction changes the row until this one ends.
pub(crate) async fn find_and_lock(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<Option<SealedEntry>, Unexpected> {
    let sql = "SELECT entry_id, date, revision, created_at, updated_at,
                      title_sealed, body_sealed, details_sealed
               FROM entries WHERE user_id = $1 AND entry_id = $2 FOR UPDATE";
    let row = db
        .query_typed_opt(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    row.as_ref().map(read).transpose()
}

/// The revision of an entry, which no other transaction changes until this one ends.
pub(crate) async fn lock_revision(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<Option<Revision>, Unexpected> {
    let sql = "SELECT revision FROM entries WHERE user_id = $1 AND entry_id = $2 FOR UPDATE";
    let row = db
        .query_typed_opt(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    row.map(|row| revision(&row)).transpose()
}

/// Puts the next revision in the place of the one before it; `false` when another one is there.
pub(crate) async fn replace(
    db: &impl GenericClient,
    user: UserId,
    entry: &SealedEntry,
    before: Revision,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "UPDATE entries SET date = $4, revision = $5, updated_at = $6,
                                title_sealed = $7, body_sealed = $8, details_sealed = $9
             WHERE user_id = $1 AND entry_id = $2 AND revision = $3",
            &[
                (&user.uuid(), Type::UUID),
                (&entry.id.uuid(), Type::UUID),
                (&before.number(), Type::INT8),
                (&entry.date, Type::DATE),
                (&entry.revision.number(), Type::INT8),
                (&entry.updated_at, Type::TIMESTAMPTZ),
                (&entry.title, Type::BYTEA),
                (&entry.body, Type::BYTEA),
                (&entry.details, Type::BYTEA),
            ],
        )
        .await?;
    Ok(rows == 1)
}

pub(crate) async fn delete(
    db: &impl GenericClient,
    user: UserId,
    id: EntryId,
) -> Result<(), Unexpected> {
    let sql = "DELETE FROM entries WHERE user_id = $1 AND entry_id = $2";
    db.execute_typed(sql, &named(&user.uuid(), &id.uuid()))
        .await?;
    Ok(())
}

/// One page. One row more than asked for is looked at, to know whether there is one; what lies beyond the
/// bytes is not sent by Postgres.
pub(crate) async fn page(
    db: &impl GenericClient,
    user: UserId,
    query: &PageQuery,
) -> Result<Page, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, taken,
                    CASE WHEN taken THEN title_sealed END AS title_sealed,
                    CASE WHEN taken THEN body_sealed END AS body_sealed,
                    CASE WHEN taken THEN details_sealed END AS details_sealed
             FROM (
                SELECT *, row_number() OVER listed <= $6
                          AND (row_number() OVER listed = 1 OR
                               sum(octet_length(title_sealed) + octet_length(body_sealed)
                                   + octet_length(details_sealed)) OVER listed <= $7) AS taken
                FROM (
                    SELECT * FROM entries
                    WHERE user_id = $1 AND date BETWEEN $2 AND $3 AND (date, entry_id) < ($4, $5)
                    ORDER BY date DESC, entry_id DESC LIMIT $6 + 1
                ) AS candidates
                WINDOW listed AS (ORDER BY date DESC, entry_id DESC)
             ) AS page
             ORDER BY date DESC, entry_id DESC",
            &[
                (&user.uuid(), Type::UUID),
                (&query.from, Type::DATE),
                (&query.to, Type::DATE),
                (&query.after.date, Type::DATE),
                (&query.after.id.uuid(), Type::UUID),
                (&i64::from(query.rows), Type::INT8),
                (&query.bytes, Type::INT8),
            ],
        )
        .await?;
    read_page(&rows)
}

/// Rows after an id, in the order of ids.
pub(crate) async fn page_by_id(
    db: &impl GenericClient,
    user: UserId,
    after: EntryId,
    (rows, bytes): (u32, i64),
) -> Result<Page, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, taken,
                    CASE WHEN taken THEN title_sealed END AS title_sealed,
                    CASE WHEN taken THEN body_sealed END AS body_sealed,
                    CASE WHEN taken THEN details_sealed END AS details_sealed
             FROM (
                SELECT *, row_number() OVER listed <= $3
                          AND (row_number() OVER listed = 1 OR
                               sum(octet_length(title_sealed) + octet_length(body_sealed)
                                   + octet_length(details_sealed)) OVER listed <= $4) AS taken
                FROM (
                    SELECT * FROM entries WHERE user_id = $1 AND entry_id > $2
                    ORDER BY entry_id LIMIT $3 + 1
                ) AS candidates
                WINDOW listed AS (ORDER BY entry_id)
             ) AS page
             ORDER BY entry_id",
            &[
                (&user.uuid(), Type::UUID),
                (&after.uuid(), Type::UUID),
                (&i64::from(rows), Type::INT8),
                (&bytes, Type::INT8),
            ],
        )
        .await?;
    read_page(&rows)
}

/// The rows of those ids.
pub(crate) struct NamedPage {
    pub(crate) rows: Vec<SealedEntry>,
    /// The first that is there and was not taken.
    pub(crate) left: Option<Uuid>,
}

/// Rows by their ids, in the order of these, up to so many sealed bytes; the first one always is taken.
pub(crate) async fn named_page(
    db: &impl GenericClient,
    user: UserId,
    ids: Vec<Uuid>,
    bytes: i64,
) -> Result<NamedPage, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT entry_id, date, revision, created_at, updated_at, taken,
                    CASE WHEN taken THEN title_sealed END AS title_sealed,
                    CASE WHEN taken THEN body_sealed END AS body_sealed,
                    CASE WHEN taken THEN details_sealed END AS details_sealed
             FROM (
                SELECT entries.*, place, row_number() OVER named = 1 OR
                       sum(octet_length(title_sealed) + octet_length(body_sealed)
                           + octet_length(details_sealed)) OVER named <= $3 AS taken
                FROM unnest($2) WITH ORDINALITY AS wanted (id, place)
                JOIN entries ON user_id = $1 AND entry_id = wanted.id
                WINDOW named AS (ORDER BY place)
             ) AS page
             ORDER BY place",
            &[
                (&user.uuid(), Type::UUID),
                (&ids, Type::UUID_ARRAY),
                (&bytes, Type::INT8),
            ],
        )
        .await?;
    let mut page = NamedPage {
        rows: Vec::with_capacity(rows.len()),
        left: None,
    };
    for row in &rows {
        if row.try_get("taken")? {
            page.rows.push(read(row)?);
        } else if page.left.is_none() {
            page.left = row.try_get("entry_id")?;
        }
    }
    Ok(page)
}

/// Rows of which those that are not `taken` only say that there are more.
pub(super) fn read_page(rows: &[Row]) -> Result<Page, Unexpected> {
    let mut page = Page {
        rows: Vec::with_capacity(rows.len()),
        more: false,
    };
    for row in rows {
        if row.try_get("taken")? {
            page.rows.push(read(row)?);
        } else {
            page.more = true;
        }
    }
    Ok(page)
}

pub(super) type Parameter<'a> = (&'a (dyn tokio_postgres::types::ToSql + Sync), Type);

pub(super) fn named<'a>(user: &'a Uuid, id: &'a Uuid) -> [Parameter<'a>; 2] {
    [(user, Type::UUID), (id, Type::UUID)]
}

pub(super) fn read(row: &Row) -> Result<SealedEntry, Unexpected> {
    Ok(SealedEntry {
        id: EntryId::new(row.try_get("entry_id")?),
        date: row.try_get("date")?,
        revision: revision(row)?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        title: row.try_get("title_sealed")?,
        body: row.try_get("body_sealed")?,
        details: row.try_get("details_sealed")?,
    })
}

/// A time, or `None` for one that no clock shows: `infinity`, or a year that has more than four digits.
struct Shown(Option<OffsetDateTime>);

impl<'a> FromSql<'a> for Shown {
    fn from_sql(
        column: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(OffsetDateTime::from_sql(column, raw).ok()))
    }

    fn accepts(column: &Type) -> bool {
        <OffsetDateTime as FromSql>::accepts(column)
    }
}

pub(super) fn time(row: &Row, column: &str) -> Result<Option<OffsetDateTime>, Unexpected> {
    let Shown(time) = row.try_get(column)?;
    Ok(time)
}

pub(super) fn revision(row: &Row) -> Result<Revision, Unexpected> {
    let number = row.try_get("revision")?;
    Revision::new(number).ok_or_else(|| Unexpected::bug(format!("impossible revision {number}")))
}
