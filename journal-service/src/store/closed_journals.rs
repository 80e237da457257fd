//! Table `closed_journals`, and the end of everything that a person has here.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Transaction, types::Type};

/// Makes whoever closes this journal, and whoever stores its first key, wait for each other until the transaction ends:
/// no key is stored for a journal that is closed.
pub(crate) async fn lock(transaction: &Transaction<'_>, user: UserId) -> Result<(), Unexpected> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))";
    transaction
        .execute_typed(sql, &[(&user.to_string(), Type::TEXT)])
        .await?;
    Ok(())
}

/// Whether the journal is closed.
pub(crate) async fn is_closed(db: &impl GenericClient, user: UserId) -> Result<bool, Unexpected> {
    let sql = "SELECT 1 FROM closed_journals WHERE user_id = $1";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    Ok(row.is_some())
}

/// Closes a journal; one that is closed stays as it is.
pub(crate) async fn close(
    transaction: &Transaction<'_>,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    transaction
        .execute_typed(
            "INSERT INTO closed_journals (user_id, closed_at) VALUES ($1, $2)
             ON CONFLICT (user_id) DO NOTHING",
            &[(&user.uuid(), Type::UUID), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}

/// Opens a closed journal again; `false` when it has been erased.
pub(crate) async fn reopen(db: &impl GenericClient, user: UserId) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM closed_journals WHERE user_id = $1 AND erased_at IS NULL";
    db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    Ok(!is_closed(db, user).await?)
}

/// Deletes the keys of a closed journal: an entry is only ever stored beside its key, so one that is being stored at this
/// moment is waited for, and the next one finds no key. From here on (`erased_at`) the journal cannot be opened again.
pub(crate) async fn erase_keys(
    transaction: &Transaction<'_>,
    user: UserId,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let user_id = &user.uuid();
    let keys = "DELETE FROM data_keys WHERE user_id = $1";
    transaction
        .execute_typed(keys, &[(user_id, Type::UUID)])
        .await?;
    let erased =
        "UPDATE closed_journals SET erased_at = coalesce(erased_at, $2) WHERE user_id = $1";
    transaction
        .execute_typed(erased, &[(user_id, Type::UUID), (&now, Type::TIMESTAMPTZ)])
        .await?;
    Ok(())
}

/// Deletes entries of a journal without keys, as many as never take long; how many, and 0 when none is left.
pub(crate) async fn erase_entries(
    db: &impl GenericClient,
    user: UserId,
) -> Result<u64, Unexpected> {
    let some = "DELETE FROM entries WHERE user_id = $1 AND entry_id IN
                (SELECT entry_id FROM entries WHERE user_id = $1 LIMIT 200)";
    Ok(db
        .execute_typed(some, &[(&user.uuid(), Type::UUID)])
        .await?)
}

/// What else there is of a person, in the order in which it can go, as much at a time as never takes long.
const REST: [&str; 4] = [
    "DELETE FROM pillar_scores WHERE user_id = $1 AND score_id IN
         (SELECT score_id FROM pillar_scores WHERE user_id = $1 LIMIT 1000)",
    "DELETE FROM pillars WHERE user_id = $1 AND NOT EXISTS (SELECT FROM pillar_scores WHERE user_id = $1)",
    "DELETE FROM pillar_orders WHERE user_id = $1",
    "DELETE FROM reflections WHERE user_id = $1 AND (date, kind) IN
         (SELECT date, kind FROM reflections WHERE user_id = $1 LIMIT 1000)",
];

/// Deletes some of what a journal without keys holds beside its entries; how many rows, and 0 when none is left.
pub(crate) async fn erase_rest(db: &impl GenericClient, user: UserId) -> Result<u64, Unexpected> {
    let mut gone = 0;
    for some in REST {
        gone += db
            .execute_typed(some, &[(&user.uuid(), Type::UUID)])
            .await?;
    }
    Ok(gone)
}
