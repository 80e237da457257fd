//! Table `data_keys`: which master key wraps which data key, and whose it is. Never the key.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};

use crate::domain::wrapped_key::{Place, WrappedKey};

/// Notes a new data key before it is handed out: a master key is destroyed only when none points at it.
pub(crate) async fn insert(
    db: &impl GenericClient,
    place: &Place,
    wrapped: &WrappedKey,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO data_keys (dek_id, owner, subject, purpose, mek_version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            (&wrapped.dek_id(), Type::UUID),
            (&place.owner.name(), Type::TEXT),
            (&place.subject, Type::UUID),
            (&place.purpose.name(), Type::TEXT),
            (&i64::from(wrapped.mek_version().number()), Type::INT8),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}
