//! Table `master_keys`: what each version's key was when this vault first saw it, since when it wraps, and its end.

use shared::{postgres::time_if_any, problem::Unexpected};
use time::OffsetDateTime;
use tokio_postgres::{
    GenericClient, Row, Transaction,
    types::{ToSql, Type},
};

use super::wait_for_the_disk;
use crate::domain::{
    keyring::{KeyCheckValue, KeyVersion},
    policy::Service,
};

/// One lock for whoever opens a replica, or moves a version from one state to the next.
const LOCK: i64 = 0x6d61_7374_6b65_7973;

/// A version as the database remembers it.
pub(crate) struct KnownVersion {
    pub(crate) version: KeyVersion,
    pub(crate) kcv: KeyCheckValue,
    /// Whether any slot or data key needs it.
    pub(crate) in_use: bool,
    /// Since when it wraps, or has wrapped; `None` while not every replica has it.
    pub(crate) activated_at: Option<OffsetDateTime>,
    /// When it is to be destroyed.
    pub(crate) destroy_at: Option<OffsetDateTime>,
    pub(crate) destroyed_at: Option<OffsetDateTime>,
}

/// How much still depends on a version.
pub(crate) struct Uses {
    pub(crate) version: KeyVersion,
    /// Slots of subjects.
    pub(crate) slots: u64,
    /// Data keys, by the service that owns them.
    pub(crate) data_keys: Vec<(String, u64)>,
}

/// Waits until nobody else opens a replica or moves a version; held until the transaction ends, and by a replica that stands
/// still no longer than five seconds: the others go on without it.
pub(crate) async fn lock(transaction: &Transaction<'_>) -> Result<(), Unexpected> {
    wait_for_the_disk(transaction).await?;
    let patience = "SET LOCAL idle_in_transaction_session_timeout = '5s'";
    transaction.execute_typed(patience, &[]).await?;
    let sql = "SELECT pg_advisory_xact_lock($1)";
    transaction
        .execute_typed(sql, &[(&LOCK, Type::INT8)])
        .await?;
    Ok(())
}

/// Every version this vault ever started with, oldest first.
pub(crate) async fn known(db: &impl GenericClient) -> Result<Vec<KnownVersion>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT version, kcv, activated_at, destroy_at, destroyed_at,
                    EXISTS (SELECT FROM subjects WHERE mek_version = version)
                    OR EXISTS (SELECT FROM data_keys WHERE mek_version = version) AS in_use
             FROM master_keys ORDER BY version",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Of a row: whether something may still be made under it at that moment, a parameter. Every replica that has a newer version
/// wraps with it within seconds; one that comes back after a pause and lacks it makes nothing that would be lost.
pub(super) fn wraps(now: &str) -> String {
    format!(
        "destroyed_at IS NULL
         AND NOT EXISTS (SELECT FROM master_keys AS newer
                         WHERE newer.version > master_keys.version AND newer.activated_at < {now} - interval '1 minute')"
    )
}

/// Whether something may still be made under a version.
pub(crate) async fn still_wraps(
    db: &impl GenericClient,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let sql = format!(
        "SELECT FROM master_keys WHERE version = $1 AND {}",
        wraps("$2")
    );
    let parameters = [
        (&number(version) as &(dyn ToSql + Sync), Type::INT8),
        (&now, Type::TIMESTAMPTZ),
    ];
    let row = db.query_typed_opt(&sql, &parameters).await?;
    Ok(row.is_some())
}

/// Whether any slot or data key needs a version, and nothing that needs it is noted until the transaction ends.
pub(crate) async fn lock_in_use(
    transaction: &Transaction<'_>,
    version: KeyVersion,
) -> Result<bool, Unexpected> {
    let version = number(version);
    let sql = "SELECT FROM master_keys WHERE version = $1 FOR NO KEY UPDATE";
    transaction
        .query_typed_opt(sql, &[(&version, Type::INT8)])
        .await?;
    let sql = "SELECT EXISTS (SELECT FROM subjects WHERE mek_version = $1)
                   OR EXISTS (SELECT FROM data_keys WHERE mek_version = $1)";
    let row = transaction
        .query_typed_one(sql, &[(&version, Type::INT8)])
        .await?;
    Ok(row.try_get(0)?)
}

/// Remembers versions that are new, and the public key that verifies each one's receipts; a known version keeps the
/// key-check value it has. Of the versions that a new database is started with the highest wraps.
pub(crate) async fn remember(
    db: &impl GenericClient,
    versions: &[(KeyVersion, KeyCheckValue)],
    receipt_keys: &[(KeyVersion, [u8; 32])],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let numbers: Vec<_> = versions
        .iter()
        .map(|(version, _)| number(*version))
        .collect();
    let kcvs: Vec<_> = versions.iter().map(|(_, kcv)| kcv.0.as_slice()).collect();
    db.execute_typed(
        "INSERT INTO master_keys (version, kcv, first_seen_at)
         SELECT version, kcv, $3 FROM unnest($1, $2) AS given (version, kcv)
         ON CONFLICT (version) DO NOTHING",
        &[
            (&numbers, Type::INT8_ARRAY),
            (&kcvs, Type::BYTEA_ARRAY),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    db.execute_typed(
        "UPDATE master_keys SET activated_at = $1
         WHERE version = (SELECT max(version) FROM master_keys)
           AND NOT EXISTS (SELECT FROM master_keys WHERE activated_at IS NOT NULL)",
        &[(&now, Type::TIMESTAMPTZ)],
    )
    .await?;
    let numbers: Vec<_> = receipt_keys
        .iter()
        .map(|(version, _)| number(*version))
        .collect();
    let keys: Vec<_> = receipt_keys.iter().map(|(_, key)| key.as_slice()).collect();
    db.execute_typed(
        "UPDATE master_keys SET receipt_key = given.key
         FROM unnest($1, $2) AS given (version, key)
         WHERE master_keys.version = given.version AND receipt_key IS DISTINCT FROM given.key",
        &[(&numbers, Type::INT8_ARRAY), (&keys, Type::BYTEA_ARRAY)],
    )
    .await?;
    Ok(())
}

/// From now on this version wraps.
pub(crate) async fn activate(
    db: &impl GenericClient,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let sql =
        "UPDATE master_keys SET activated_at = $2 WHERE version = $1 AND activated_at IS NULL";
    set(db, sql, version, Some(now)).await
}

/// When a version is to be destroyed; `None` when it is not.
pub(crate) async fn schedule_destruction(
    db: &impl GenericClient,
    version: KeyVersion,
    destroy_at: Option<OffsetDateTime>,
) -> Result<(), Unexpected> {
    let sql = "UPDATE master_keys SET destroy_at = $2 WHERE version = $1 AND destroyed_at IS NULL";
    set(db, sql, version, destroy_at).await
}

/// The version is gone; nothing of it but its number, its key-check value and the key of its receipts stays.
pub(crate) async fn destroyed(
    db: &impl GenericClient,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let sql = "UPDATE master_keys SET destroyed_at = $2 WHERE version = $1";
    set(db, sql, version, Some(now)).await
}

async fn set(
    db: &impl GenericClient,
    sql: &str,
    version: KeyVersion,
    time: Option<OffsetDateTime>,
) -> Result<(), Unexpected> {
    let parameters: &[(&(dyn ToSql + Sync), Type)] =
        &[(&number(version), Type::INT8), (&time, Type::TIMESTAMPTZ)];
    db.execute_typed(sql, parameters).await?;
    Ok(())
}

/// What still depends on each version that anything depends on.
pub(crate) async fn uses(db: &impl GenericClient) -> Result<Vec<Uses>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT mek_version, NULL AS owner, count(*) AS number FROM subjects
             WHERE mek_version IS NOT NULL GROUP BY mek_version
             UNION ALL
             SELECT mek_version, owner, count(*) FROM data_keys GROUP BY mek_version, owner
             ORDER BY mek_version, owner NULLS FIRST",
            &[],
        )
        .await?;
    let mut uses: Vec<Uses> = Vec::new();
    for row in &rows {
        let version = version(row.try_get("mek_version")?)?;
        let (owner, number): (Option<String>, i64) =
            (row.try_get("owner")?, row.try_get("number")?);
        let number = u64::try_from(number).unwrap_or_default();
        if uses.last().is_none_or(|last| last.version != version) {
            uses.push(Uses {
                version,
                slots: 0,
                data_keys: Vec::new(),
            });
        }
        if let Some(of_version) = uses.last_mut() {
            match owner {
                Some(owner) => of_version.data_keys.push((owner, number)),
                None => of_version.slots = number,
            }
        }
    }
    Ok(uses)
}

/// Whether any data key of that service depends on an older version.
pub(crate) async fn is_behind(
    db: &impl GenericClient,
    owner: Service,
    current: KeyVersion,
) -> Result<bool, Unexpected> {
    let row = db
        .query_typed_one(
            "SELECT EXISTS (
                 SELECT FROM master_keys
                 WHERE version < $2
                   AND EXISTS (SELECT FROM data_keys WHERE mek_version = version AND owner = $1)
             ) AS is_behind",
            &[(&owner.name(), Type::TEXT), (&number(current), Type::INT8)],
        )
        .await?;
    Ok(row.try_get("is_behind")?)
}

/// The public keys that verify receipts, of every version that was ever here.
pub(crate) async fn receipt_keys(
    db: &impl GenericClient,
) -> Result<Vec<(KeyVersion, [u8; 32])>, Unexpected> {
    let sql = "SELECT version, receipt_key FROM master_keys WHERE receipt_key IS NOT NULL";
    let rows = db.query_typed(sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let (number, key): (i64, Vec<u8>) =
                (row.try_get("version")?, row.try_get("receipt_key")?);
            Ok((
                version(number)?,
                key.try_into().map_err(|_| impossible(number))?,
            ))
        })
        .collect()
}

fn read(row: &Row) -> Result<KnownVersion, Unexpected> {
    let (number, kcv): (i64, Vec<u8>) = (row.try_get("version")?, row.try_get("kcv")?);
    Ok(KnownVersion {
        version: version(number)?,
        kcv: KeyCheckValue(kcv.try_into().map_err(|_| impossible(number))?),
        in_use: row.try_get("in_use")?,
        activated_at: time_if_any(row, "activated_at")?,
        destroy_at: time_if_any(row, "destroy_at")?,
        destroyed_at: time_if_any(row, "destroyed_at")?,
    })
}

fn number(version: KeyVersion) -> i64 {
    i64::from(version.number())
}

fn version(number: i64) -> Result<KeyVersion, Unexpected> {
    u32::try_from(number)
        .ok()
        .and_then(KeyVersion::new)
        .ok_or_else(|| impossible(number))
}

fn impossible(number: i64) -> Unexpected {
    Unexpected::bug(format!("impossible row in master_keys: version {number}"))
}
