//! Table `failed_logins`.

use shared::{postgres::time, problem::Unexpected};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use super::outbox::Sealed;

/// A login that failed, whether or not there is an account.
pub(crate) struct FailedLogin {
    pub(crate) id: Uuid,
    pub(crate) sealed: Sealed,
    pub(crate) created_at: OffsetDateTime,
}

pub(crate) async fn insert(
    db: &impl GenericClient,
    failed: &FailedLogin,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO failed_logins (attempt_id, sealed, service_key_id, created_at)
         VALUES ($1, $2, $3, $4)",
        &[
            (&failed.id, Type::UUID),
            (&failed.sealed.bytes, Type::BYTEA),
            (&failed.sealed.service_key_id, Type::UUID),
            (&failed.created_at, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// The one that has waited longest.
pub(crate) async fn oldest(db: &impl GenericClient) -> Result<Option<FailedLogin>, Unexpected> {
    let sql = "SELECT * FROM failed_logins ORDER BY created_at LIMIT 1";
    let row = db.query_typed_opt(sql, &[]).await?;
    row.map(|row| {
        Ok(FailedLogin {
            id: row.try_get("attempt_id")?,
            sealed: Sealed {
                bytes: row.try_get("sealed")?,
                service_key_id: row.try_get("service_key_id")?,
            },
            created_at: time(&row, "created_at")?,
        })
    })
    .transpose()
}

/// Takes one out; `false` when another worker did.
pub(crate) async fn take(db: &impl GenericClient, id: Uuid) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM failed_logins WHERE attempt_id = $1";
    Ok(db.execute_typed(sql, &[(&id, Type::UUID)]).await? == 1)
}

/// Removes those that no worker came to see.
pub(crate) async fn discard_before(
    db: &impl GenericClient,
    end: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let sql = "DELETE FROM failed_logins WHERE created_at < $1";
    Ok(db.execute_typed(sql, &[(&end, Type::TIMESTAMPTZ)]).await?)
}
