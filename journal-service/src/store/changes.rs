//! Tables `changes` and `change_counters`, which triggers write.

use shared::{postgres::time_if_any, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::domain::record::Kind;

/// How far the numbers of a person have come.
#[derive(Clone, Copy)]
pub(crate) struct Counter {
    pub(crate) epoch: Uuid,
    pub(crate) last: i64,
}

/// A record at the place of its latest change.
pub(crate) struct Noted {
    pub(crate) kind: Kind,
    /// Its id, as the API writes it.
    pub(crate) record: String,
    pub(crate) number: i64,
    pub(crate) deleted_at: Option<OffsetDateTime>,
}

/// `None` for who never wrote.
pub(crate) async fn counter(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Counter>, Unexpected> {
    let sql = "SELECT epoch, last FROM change_counters WHERE user_id = $1";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.map(|row| {
        Ok(Counter {
            epoch: row.try_get("epoch")?,
            last: row.try_get("last")?,
        })
    })
    .transpose()
}

/// The next records of the kinds that this version knows.
pub(crate) async fn after(
    db: &impl GenericClient,
    user: UserId,
    number: i64,
    rows: u32,
) -> Result<Vec<Noted>, Unexpected> {
    let kinds: Vec<_> = Kind::ALL.into_iter().map(Kind::name).collect();
    let rows = db
        .query_typed(
            "SELECT kind, record, number, deleted_at FROM changes
             WHERE user_id = $1 AND number > $2 AND kind = ANY ($3) ORDER BY number LIMIT $4",
            &[
                (&user.uuid(), Type::UUID),
                (&number, Type::INT8),
                (&kinds, Type::TEXT_ARRAY),
                (&i64::from(rows), Type::INT8),
            ],
        )
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let kind = Kind::named(row.try_get("kind")?);
        Ok(Noted {
            kind: kind.ok_or_else(|| Unexpected::bug("a kind that was not asked for"))?,
            record: row.try_get("record")?,
            number: row.try_get("number")?,
            deleted_at: time_if_any(row, "deleted_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Forgets the counter of a journal without keys: from here on nothing is noted any more.
pub(crate) async fn stop(db: &impl GenericClient, user: UserId) -> Result<(), Unexpected> {
    let sql = "DELETE FROM change_counters WHERE user_id = $1";
    db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    Ok(())
}

/// Forgets changes of a journal without a counter, as many as never take long; how many, and 0 when none is left.
pub(crate) async fn erase(db: &impl GenericClient, user: UserId) -> Result<u64, Unexpected> {
    let some = "DELETE FROM changes WHERE user_id = $1 AND number IN
                (SELECT number FROM changes WHERE user_id = $1 LIMIT 5000)";
    Ok(db
        .execute_typed(some, &[(&user.uuid(), Type::UUID)])
        .await?)
}
