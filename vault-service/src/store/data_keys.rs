//! Table `data_keys`: which master key wraps which data key, and whose it is. Never the key.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use super::master_keys::wraps;
use crate::domain::{
    keyring::KeyVersion,
    policy::Service,
    wrapped_key::{Place, WrappedKey},
};

/// Notes a new data key before it is handed out: a master key is destroyed only when none points at it. `false` when the
/// subject has been shredded since its salt was read, or its master key does not wrap any more: the locks make this and a
/// shred or a destruction that is under way wait for each other, so that no key is noted that nobody will ever bury, and none
/// under what is gone.
pub(crate) async fn insert(
    db: &impl GenericClient,
    place: &Place,
    wrapped: &WrappedKey,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            &format!(
                "INSERT INTO data_keys (dek_id, owner, subject, purpose, mek_version, created_at)
                 SELECT $1, $2, slot.subject, $4, version, $6
                 FROM (SELECT subject FROM subjects
                       WHERE subject = $3 AND sealed_salt IS NOT NULL FOR SHARE) AS slot,
                      (SELECT version FROM master_keys WHERE version = $5 AND {} FOR SHARE) AS wraps",
                wraps("$6")
            ),
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

/// A key that its owner has shown.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) place: Place,
    pub(crate) dek_id: Uuid,
    /// The master key that it depends on.
    pub(crate) version: KeyVersion,
}

/// Notes that keys are still kept under an older master key than was thought: their owner showed them. One that is not known
/// at all was made after the backup that this database was restored from. A look-through of the owner's that had begun
/// before says nothing of them. The locks make this and a shred, and a destruction, wait for each other: nothing is noted of
/// whom nobody will ever bury, or under what is gone.
pub(crate) async fn still_under(
    db: &impl GenericClient,
    keys: &[Shown],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let ids: Vec<_> = keys.iter().map(|key| key.dek_id).collect();
    let owners: Vec<_> = keys.iter().map(|key| key.place.owner.name()).collect();
    let subjects: Vec<_> = keys.iter().map(|key| key.place.subject).collect();
    let purposes: Vec<_> = keys.iter().map(|key| key.place.purpose.name()).collect();
    let versions: Vec<_> = keys
        .iter()
        .map(|key| i64::from(key.version.number()))
        .collect();
    db.execute_typed(
        "WITH news AS MATERIALIZED (
             SELECT DISTINCT ON (dek_id) shown.*
             FROM unnest($1, $2, $3, $4, $5) AS shown (dek_id, owner, subject, purpose, version)
             WHERE NOT EXISTS (SELECT FROM data_keys AS known
                               WHERE known.dek_id = shown.dek_id AND known.mek_version <= shown.version)
             ORDER BY dek_id, version
         ), locked AS MATERIALIZED (
             SELECT subject FROM subjects
             WHERE subject IN (SELECT subject FROM news) AND sealed_salt IS NOT NULL FOR SHARE
         ), held AS MATERIALIZED (
             SELECT version FROM master_keys
             WHERE version IN (SELECT version FROM news) AND destroyed_at IS NULL FOR SHARE
         )
         INSERT INTO data_keys (dek_id, owner, subject, purpose, mek_version, created_at)
         SELECT dek_id, owner, subject, purpose, version, $6
         FROM news JOIN locked USING (subject) JOIN held USING (version)
         ORDER BY dek_id
         ON CONFLICT (dek_id) DO UPDATE SET mek_version = excluded.mek_version, created_at = excluded.created_at
             WHERE data_keys.mek_version > excluded.mek_version",
        &[
            (&ids, Type::UUID_ARRAY),
            (&owners, Type::TEXT_ARRAY),
            (&subjects, Type::UUID_ARRAY),
            (&purposes, Type::TEXT_ARRAY),
            (&versions, Type::INT8_ARRAY),
            (&now, Type::TIMESTAMPTZ),
        ],
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
