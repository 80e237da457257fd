//! Table `security_events`.

use shared::{postgres::time, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::event::Event;

/// One event of a person, its device still sealed.
pub(crate) struct Noted {
    pub(crate) id: Uuid,
    pub(crate) event: Event,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) device_sealed: Option<Vec<u8>>,
}

/// Stores an event; one of that id stays as it is, so that nobody who writes to the database can hold up a worker with it.
pub(crate) async fn insert(
    db: &impl GenericClient,
    user: UserId,
    noted: &Noted,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO security_events (user_id, event_id, kind, created_at, device_sealed)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &[
            (&user.uuid(), Type::UUID),
            (&noted.id, Type::UUID),
            (&noted.event.name(), Type::TEXT),
            (&noted.created_at, Type::TIMESTAMPTZ),
            (&noted.device_sealed, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}

/// The person's events before one, the newest first. Kinds that only a newer version knows are left out.
pub(crate) async fn page(
    db: &impl GenericClient,
    user: UserId,
    before: Uuid,
    rows: u32,
) -> Result<Vec<Noted>, Unexpected> {
    let found = db
        .query_typed(
            "SELECT event_id, kind, created_at, device_sealed FROM security_events
             WHERE user_id = $1 AND event_id < $2 ORDER BY event_id DESC LIMIT $3",
            &[
                (&user.uuid(), Type::UUID),
                (&before, Type::UUID),
                (&i64::from(rows), Type::INT8),
            ],
        )
        .await?;
    found
        .iter()
        .filter_map(|row| read(row).transpose())
        .collect()
}

/// Whether a person has one of that kind.
pub(crate) async fn has(
    db: &impl GenericClient,
    user: UserId,
    event: Event,
) -> Result<bool, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT 1 FROM security_events WHERE user_id = $1 AND kind = $2 LIMIT 1",
            &[(&user.uuid(), Type::UUID), (&event.name(), Type::TEXT)],
        )
        .await?;
    Ok(row.is_some())
}

/// Removes events that are older than anybody needs.
pub(crate) async fn discard_before(
    db: &impl GenericClient,
    end: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let sql = "DELETE FROM security_events WHERE created_at < $1";
    Ok(db.execute_typed(sql, &[(&end, Type::TIMESTAMPTZ)]).await?)
}

fn read(row: &Row) -> Result<Option<Noted>, Unexpected> {
    let id: Uuid = row.try_get("event_id")?;
    let Some(event) = Event::from_name(row.try_get("kind")?) else {
        // Of a newer version, or no service's.
        tracing::warn!(event.id = %id, "a security event of no known kind is not shown");
        return Ok(None);
    };
    Ok(Some(Noted {
        id,
        event,
        created_at: time(row, "created_at")?,
        device_sealed: row.try_get("device_sealed")?,
    }))
}
