//! Table `replicas`: who runs, and with which master keys. By the clock of the database, which is one for all.

use shared::problem::Unexpected;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::domain::keyring::KeyVersion;

/// A replica of which nothing has been heard for so long runs no more.
const SILENCE: &str = "interval '15 seconds'";

/// Says that this replica runs, and which master keys it has.
pub(crate) async fn announce(
    db: &impl GenericClient,
    replica: Uuid,
    versions: &[KeyVersion],
) -> Result<(), Unexpected> {
    let versions: Vec<_> = versions.iter().copied().map(number).collect();
    db.execute_typed(
        "INSERT INTO replicas (replica_id, versions, seen_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT (replica_id) DO UPDATE SET versions = excluded.versions, seen_at = excluded.seen_at",
        &[(&replica, Type::UUID), (&versions, Type::INT8_ARRAY)],
    )
    .await?;
    Ok(())
}

/// Says that this replica has no master keys any more.
pub(crate) async fn leave(db: &impl GenericClient, replica: Uuid) -> Result<(), Unexpected> {
    let sql = "DELETE FROM replicas WHERE replica_id = $1";
    db.execute_typed(sql, &[(&replica, Type::UUID)]).await?;
    Ok(())
}

/// Whether every replica that runs has that master key; forgets those that do not run.
pub(crate) async fn all_have(
    db: &impl GenericClient,
    version: KeyVersion,
) -> Result<bool, Unexpected> {
    let sql = format!("DELETE FROM replicas WHERE seen_at < clock_timestamp() - {SILENCE}");
    db.execute_typed(&sql, &[]).await?;
    let row = db
        .query_typed_one(
            "SELECT NOT EXISTS (SELECT FROM replicas WHERE NOT $1 = ANY (versions)) AS all_have",
            &[(&number(version), Type::INT8)],
        )
        .await?;
    Ok(row.try_get("all_have")?)
}

fn number(version: KeyVersion) -> i64 {
    i64::from(version.number())
}
