//! Table `master_keys`: what each version's key was when this vault first saw it.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};

use crate::domain::keyring::{KeyCheckValue, KeyVersion};

/// A version as the database remembers it.
pub(crate) struct KnownVersion {
    pub(crate) version: KeyVersion,
    pub(crate) kcv: KeyCheckValue,
    /// Whether any slot or data key needs it.
    pub(crate) in_use: bool,
}

/// Every version this vault ever started with, oldest first.
pub(crate) async fn known(db: &impl GenericClient) -> Result<Vec<KnownVersion>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT version, kcv,
                    EXISTS (SELECT FROM subjects WHERE mek_version = version)
                    OR EXISTS (SELECT FROM data_keys WHERE mek_version = version) AS in_use
             FROM master_keys ORDER BY version",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Remembers versions that are new, and the public key that verifies each one's receipts; a known version keeps the
/// key-check value it has.
pub(crate) async fn remember(
    db: &impl GenericClient,
    versions: &[(KeyVersion, KeyCheckValue)],
    receipt_keys: &[(KeyVersion, [u8; 32])],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let number = |version: &KeyVersion| i64::from(version.number());
    let numbers: Vec<_> = versions
        .iter()
        .map(|(version, _)| number(version))
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
    let numbers: Vec<_> = receipt_keys
        .iter()
        .map(|(version, _)| number(version))
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
    })
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
