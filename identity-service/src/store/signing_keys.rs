//! Table `signing_keys`.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
    rewrap::KeyTable,
    vault_client::WrappedKey,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::signing_key::KeyState;

/// One lock for whoever makes or moves keys.
const LOCK: i64 = 0x7369_676e_6b65_7973;

/// For the rewrapping of all of them.
pub(crate) const KEYS: KeyTable = KeyTable {
    purpose: "signing-key",
    behind: "SELECT key_id AS subject, wrapped_key FROM signing_keys
             WHERE substring(wrapped_key FROM 5 FOR 4) < $1 AND key_id > $2
             ORDER BY key_id LIMIT 100",
    replace: "UPDATE signing_keys SET wrapped_key = new.after
              FROM unnest($1, $2, $3) AS new (subject, before, after)
              WHERE key_id = new.subject AND wrapped_key = new.before",
};

/// A signing key as it is kept.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) key_id: Uuid,
    pub(crate) state: KeyState,
    pub(crate) sealed_seed: Vec<u8>,
    pub(crate) wrapped_key: WrappedKey,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) activated_at: Option<OffsetDateTime>,
    pub(crate) retired_at: Option<OffsetDateTime>,
}

/// Waits until no other replica makes or moves keys; held until the transaction ends.
pub(crate) async fn lock(db: &impl GenericClient) -> Result<(), Unexpected> {
    db.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await?;
    Ok(())
}

/// Every key that is still published, in the same order for all replicas.
pub(crate) async fn all(db: &impl GenericClient) -> Result<Vec<StoredKey>, Unexpected> {
    let rows = db
        .query_typed("SELECT * FROM signing_keys ORDER BY created_at, kid", &[])
        .await?;
    rows.iter().map(read).collect()
}

pub(crate) async fn insert(db: &impl GenericClient, key: &StoredKey) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO signing_keys (kid, key_id, state, sealed_seed, wrapped_key, created_at,
                                   activated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            (&key.kid, Type::TEXT),
            (&key.key_id, Type::UUID),
            (&key.state.name(), Type::TEXT),
            (&key.sealed_seed, Type::BYTEA),
            (&key.wrapped_key.bytes(), Type::BYTEA),
            (&key.created_at, Type::TIMESTAMPTZ),
            (&key.activated_at, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// The active key retires and the next one takes its place, which leaves room for another next one.
pub(crate) async fn promote_next(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    for sql in [
        "UPDATE signing_keys SET state = 'retired', retired_at = $1 WHERE state = 'active'",
        "UPDATE signing_keys SET state = 'active', activated_at = $1 WHERE state = 'next'",
    ] {
        db.execute_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?;
    }
    Ok(())
}

/// Takes keys out of use, whatever their state.
pub(crate) async fn retire(
    db: &impl GenericClient,
    key_ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE signing_keys SET state = 'retired', retired_at = $2
         WHERE key_id = ANY($1) AND state <> 'retired'",
        &[(&key_ids, Type::UUID_ARRAY), (&now, Type::TIMESTAMPTZ)],
    )
    .await?;
    Ok(())
}

/// Forgets a key: from the next look of each replica on nothing it signed counts.
pub(crate) async fn remove(db: &impl GenericClient, kid: &str) -> Result<(), Unexpected> {
    let sql = "DELETE FROM signing_keys WHERE kid = $1";
    db.execute_typed(sql, &[(&kid, Type::TEXT)]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<StoredKey, Unexpected> {
    let kid: String = row.try_get("kid")?;
    let state: &str = row.try_get("state")?;
    let state = KeyState::from_name(state)
        .ok_or_else(|| Unexpected::bug(format!("impossible state of signing key {kid}")))?;
    Ok(StoredKey {
        kid,
        key_id: row.try_get("key_id")?,
        state,
        sealed_seed: row.try_get("sealed_seed")?,
        wrapped_key: WrappedKey::from_bytes(row.try_get("wrapped_key")?),
        created_at: time(row, "created_at")?,
        activated_at: time_if_any(row, "activated_at")?,
        retired_at: time_if_any(row, "retired_at")?,
    })
}
