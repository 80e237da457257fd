//! Table `data_keys`: which master key wraps which data key, and whose it is. Never the key.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};

use crate::domain::wrapped_key::{Place, WrappedKey};

/// Notes a new data key before it is handed out: a master key is destroyed only when none points at it. `false` when the
/// subject has been shredded since its salt was read: the lock makes this and a shred that is under way wait for each
/// other, so that no key is noted that nobody will ever bury.
pub(crate) async fn insert(
    db: &impl GenericClient,
    place: &Place,
    wrapped: &WrappedKey,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO data_keys (dek_id, owner, subject, purpose, mek_version, created_at)
             SELECT $1, $2, slot.subject, $4, $5, $6
             FROM (SELECT subject FROM subjects
                   WHERE subject = $3 AND sealed_salt IS NOT NULL FOR SHARE) AS slot",
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
    Ok(rows == 1)
}
