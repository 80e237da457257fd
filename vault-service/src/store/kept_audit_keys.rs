//! Table `kept_audit_keys`: with what the chains of a master key are checked when it is gone.

use shared::problem::Unexpected;
use tokio_postgres::{GenericClient, types::Type};

use crate::domain::keyring::KeyVersion;

/// The audit key of a version, sealed.
pub(crate) struct Kept {
    pub(crate) version: KeyVersion,
    pub(crate) sealed_under: KeyVersion,
    pub(crate) sealed: Vec<u8>,
}

/// Those of versions that there can be.
pub(crate) async fn all(db: &impl GenericClient) -> Result<Vec<Kept>, Unexpected> {
    let sql = "SELECT mek_version, sealed_under, sealed FROM kept_audit_keys ORDER BY mek_version";
    let rows = db.query_typed(sql, &[]).await?;
    let version = |number: i64| u32::try_from(number).ok().and_then(KeyVersion::new);
    let mut all = Vec::new();
    for row in &rows {
        let versions =
            version(row.try_get("mek_version")?).zip(version(row.try_get("sealed_under")?));
        if let Some((version, sealed_under)) = versions {
            all.push(Kept {
                version,
                sealed_under,
                sealed: row.try_get("sealed")?,
            });
        }
    }
    Ok(all)
}

/// Keeps one, in the place of what is there: but never what an older master key seals in the place of what a newer one does.
pub(crate) async fn keep(db: &impl GenericClient, key: &Kept) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO kept_audit_keys AS known (mek_version, sealed_under, sealed) VALUES ($1, $2, $3)
         ON CONFLICT (mek_version) DO UPDATE SET sealed_under = excluded.sealed_under, sealed = excluded.sealed
         WHERE known.sealed_under <= excluded.sealed_under",
        &[
            (&i64::from(key.version.number()), Type::INT8),
            (&i64::from(key.sealed_under.number()), Type::INT8),
            (&key.sealed, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}
