//! Table `data_keys`: which master key wraps which data key, and whose it is. Never the key.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::domain::{
    keyring::KeyVersion,
    policy::Service,
    wrapped_key::{Place, WrappedKey},
};

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

/// Notes that keys are still kept under an older master key than was thought: their owner showed them.
pub(crate) async fn still_under(
    db: &impl GenericClient,
    keys: &[(Uuid, KeyVersion)],
) -> Result<(), Unexpected> {
    let ids: Vec<_> = keys.iter().map(|(id, _)| *id).collect();
    let versions: Vec<_> = keys
        .iter()
        .map(|(_, version)| i64::from(version.number()))
        .collect();
    db.execute_typed(
        "UPDATE data_keys SET mek_version = shown.version
         FROM unnest($1, $2) AS shown (dek_id, version)
         WHERE data_keys.dek_id = shown.dek_id AND data_keys.mek_version > shown.version",
        &[(&ids, Type::UUID_ARRAY), (&versions, Type::INT8_ARRAY)],
    )
    .await?;
    Ok(())
}

/// Notes that an owner keeps nothing under an older master key any more, for its keys from before that moment, some at a
/// time; how many.
pub(crate) async fn settle_some(
    db: &impl GenericClient,
    owner: Service,
    version: KeyVersion,
    created_before: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let settled = db
        .execute_typed(
            "UPDATE data_keys SET mek_version = $2
             WHERE dek_id IN (SELECT dek_id FROM data_keys
                              WHERE mek_version = ANY (SELECT version FROM master_keys WHERE version < $2)
                                AND owner = $1 AND created_at < $3
                              LIMIT 10000)",
            &[
                (&owner.name(), Type::TEXT),
                (&i64::from(version.number()), Type::INT8),
                (&created_before, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(settled)
}
