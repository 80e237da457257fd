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

/// Remembers versions that are new; a known version keeps the value it has.
pub(crate) async fn remember(
    db: &impl GenericClient,
    versions: &[(KeyVersion, KeyCheckValue)],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let numbers: Vec<_> = versions
        .iter()
        .map(|(version, _)| i64::from(version.number()))
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
    Ok(())
}

fn read(row: &Row) -> Result<KnownVersion, Unexpected> {
    let (number, kcv): (i64, Vec<u8>) = (row.try_get("version")?, row.try_get("kcv")?);
    let impossible = || Unexpected::bug(format!("impossible row in master_keys: version {number}"));
    Ok(KnownVersion {
        version: u32::try_from(number)
            .ok()
            .and_then(KeyVersion::new)
            .ok_or_else(impossible)?,
        kcv: KeyCheckValue(kcv.try_into().map_err(|_| impossible())?),
        in_use: row.try_get("in_use")?,
    })
}
