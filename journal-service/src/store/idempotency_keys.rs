//! Table `idempotency_keys`: which request made what.

use std::time::Duration;

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Transaction, types::Type};
use uuid::Uuid;

/// When to come again.
const RETRY: Duration = Duration::from_secs(1);

/// What a request made that named itself so.
pub(crate) struct Made {
    /// An entry, or a pillar: the column is older than those.
    pub(crate) id: Uuid,
    pub(crate) request_sealed: Vec<u8>,
}

/// Notes what a request is about to make; `false` when one of that name has made something, for which one that is under
/// way is waited for.
pub(crate) async fn claim(
    transaction: &Transaction<'_>,
    user: UserId,
    key_hash: &[u8; 32],
    made: &Made,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = transaction
        .execute_typed(
            "INSERT INTO idempotency_keys (user_id, key_hash, entry_id, request_sealed, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            &[
                (&user.uuid(), Type::UUID),
                (&key_hash.as_slice(), Type::BYTEA),
                (&made.id, Type::UUID),
                (&made.request_sealed, Type::BYTEA),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// What the request of that name has made, which was there a moment ago: a day old, it may have been forgotten since, and then
/// it comes again.
pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    key_hash: &[u8; 32],
) -> Result<Made, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT entry_id, request_sealed FROM idempotency_keys WHERE user_id = $1 AND key_hash = $2",
            &[
                (&user.uuid(), Type::UUID),
                (&key_hash.as_slice(), Type::BYTEA),
            ],
        )
        .await?;
    let gone = || Unexpected::unavailable("a request that was made before is forgotten", RETRY);
    let row = row.ok_or_else(gone)?;
    Ok(Made {
        id: row.try_get("entry_id")?,
        request_sealed: row.try_get("request_sealed")?,
    })
}

/// Forgets requests from before that moment, as many as never take long.
pub(crate) async fn forget(
    db: &impl GenericClient,
    before: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "DELETE FROM idempotency_keys WHERE (user_id, key_hash) IN
             (SELECT user_id, key_hash FROM idempotency_keys WHERE created_at < $1 LIMIT 10000)",
        &[(&before, Type::TIMESTAMPTZ)],
    )
    .await?;
    Ok(())
}

/// Forgets all of a person's.
pub(crate) async fn erase(db: &impl GenericClient, user: UserId) -> Result<(), Unexpected> {
    let sql = "DELETE FROM idempotency_keys WHERE user_id = $1";
    db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    Ok(())
}
