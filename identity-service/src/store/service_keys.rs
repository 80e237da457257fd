//! Table `service_keys`.

use shared::{problem::Unexpected, rewrap::KeyTable, vault_client::WrappedKey};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

/// For the rewrapping of all of them; one that was given up does not open.
pub(crate) const KEYS: KeyTable = KeyTable {
    purpose: "outbox",
    behind: "SELECT key_id AS subject, wrapped_key FROM service_keys
             WHERE purpose = 'outbox' AND substring(wrapped_key FROM 5 FOR 4) < $1 AND key_id > $2
             ORDER BY key_id LIMIT 100",
    replace: "UPDATE service_keys SET wrapped_key = new.after
              FROM unnest($1, $2, $3) AS new (subject, before, after)
              WHERE key_id = new.subject AND wrapped_key = new.before",
};

/// A data key of the service's own, and the subject it was made for.
#[derive(Clone)]
pub(crate) struct ServiceKey {
    pub(crate) id: Uuid,
    pub(crate) wrapped: WrappedKey,
}

/// The key for that purpose, if it was made already.
pub(crate) async fn current(
    db: &impl GenericClient,
    purpose: &str,
) -> Result<Option<ServiceKey>, Unexpected> {
    let sql = "SELECT key_id, wrapped_key FROM service_keys WHERE purpose = $1";
    let row = db.query_typed_opt(sql, &[(&purpose, Type::TEXT)]).await?;
    row.as_ref().map(read).transpose()
}

/// Stores a key, unless there is one for that purpose: then nothing changes and that one counts.
pub(crate) async fn insert_first(
    db: &impl GenericClient,
    purpose: &str,
    key: &ServiceKey,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO service_keys (key_id, purpose, wrapped_key, created_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        &[
            (&key.id, Type::UUID),
            (&purpose, Type::TEXT),
            (&key.wrapped.bytes(), Type::BYTEA),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Takes a key out of use as it was seen: not another one that has its place by now, nor the same whose row was put
/// right. The row stays, since others name it.
pub(crate) async fn give_up(
    db: &impl GenericClient,
    purpose: &str,
    key: &ServiceKey,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE service_keys SET purpose = purpose || ' given up ' || key_id
         WHERE purpose = $1 AND wrapped_key = $2",
        &[(&purpose, Type::TEXT), (&key.wrapped.bytes(), Type::BYTEA)],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<ServiceKey, Unexpected> {
    Ok(ServiceKey {
        id: row.try_get("key_id")?,
        wrapped: WrappedKey::from_bytes(row.try_get("wrapped_key")?),
    })
}
