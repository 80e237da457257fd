//! Table `outbox`.

use shared::problem::Unexpected;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

/// A sealed message that waits to be decided and sent.
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) sealed: Vec<u8>,
    pub(crate) service_key_id: Uuid,
    pub(crate) created_at: OffsetDateTime,
}

pub(crate) async fn insert(db: &impl GenericClient, message: &Message) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO outbox (message_id, sealed, service_key_id, created_at, due_at)
         VALUES ($1, $2, $3, $4, $4)",
        &[
            (&message.id, Type::UUID),
            (&message.sealed, Type::BYTEA),
            (&message.service_key_id, Type::UUID),
            (&message.created_at, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Takes the message that has waited longest, and puts its next try off: no lock is held while it is being
/// sent, and one whose worker died comes back by itself. Every further try waits twice as long.
pub(crate) async fn claim(
    db: &impl GenericClient,
    now: OffsetDateTime,
    first_wait: Duration,
) -> Result<Option<Message>, Unexpected> {
    let row = db
        .query_typed_opt(
            "UPDATE outbox
             SET attempts = attempts + 1,
                 due_at = $1 + make_interval(secs => ($2::bigint << least(attempts, 7)::int)::double precision)
             WHERE message_id = (
                SELECT message_id FROM outbox WHERE due_at <= $1
                ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
             ) RETURNING message_id, sealed, service_key_id, created_at",
            &[
                (&now, Type::TIMESTAMPTZ),
                (&first_wait.whole_seconds(), Type::INT8),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(Message {
            id: row.try_get("message_id")?,
            sealed: row.try_get("sealed")?,
            service_key_id: row.try_get("service_key_id")?,
            created_at: row.try_get("created_at")?,
        })
    })
    .transpose()
}

pub(crate) async fn delete(db: &impl GenericClient, id: Uuid) -> Result<(), Unexpected> {
    let sql = "DELETE FROM outbox WHERE message_id = $1";
    db.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(())
}
