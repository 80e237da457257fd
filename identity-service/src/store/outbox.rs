//! Table `outbox`.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
    user_id::UserId,
};
use time::{Duration, OffsetDateTime};
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::notice::Notice;

/// A message that waits to be decided and sent.
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) content: Content,
    pub(crate) created_at: OffsetDateTime,
}

/// What it is about.
pub(crate) enum Content {
    /// What a request left to be decided.
    Errand(Sealed),
    /// What happened to a person's account.
    Notice(Waiting),
    /// Tampered with, or of a newer version of this service.
    Unknown,
}

/// Bytes under a key of the service's own.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) service_key_id: Uuid,
}

/// A notice to the owner of an account.
pub(crate) struct Waiting {
    pub(crate) user_id: UserId,
    pub(crate) notice: Notice,
    /// Whose doing it was, under the person's key; `None` when that was not to be had.
    pub(crate) device_sealed: Option<Vec<u8>>,
}

pub(crate) async fn insert(db: &impl GenericClient, message: &Message) -> Result<(), Unexpected> {
    let (sealed, waiting) = match &message.content {
        Content::Errand(sealed) => (Some(sealed), None),
        Content::Notice(waiting) => (None, Some(waiting)),
        Content::Unknown => (None, None),
    };
    let device = waiting.and_then(|it| it.device_sealed.as_deref());
    db.execute_typed(
        "INSERT INTO outbox (message_id, sealed, service_key_id, user_id, notice, device_sealed,
                             created_at, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        &[
            (&message.id, Type::UUID),
            (&sealed.map(|it| it.bytes.as_slice()), Type::BYTEA),
            (&sealed.map(|it| it.service_key_id), Type::UUID),
            (&waiting.map(|it| it.user_id.uuid()), Type::UUID),
            (&waiting.map(|it| it.notice.name()), Type::TEXT),
            (&device, Type::BYTEA),
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
             ) RETURNING *",
            &[
                (&now, Type::TIMESTAMPTZ),
                (&first_wait.whole_seconds(), Type::INT8),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// What waits.
pub(crate) struct Backlog {
    pub(crate) messages: i64,
    /// When the one that has waited longest came.
    pub(crate) oldest: Option<OffsetDateTime>,
    pub(crate) most_attempts: i64,
}

/// How much waits, and for how long.
pub(crate) async fn backlog(db: &impl GenericClient) -> Result<Backlog, Unexpected> {
    let row = db
        .query_typed_one(
            "SELECT count(*) AS messages, min(created_at) AS oldest, coalesce(max(attempts), 0) AS most_attempts
             FROM outbox",
            &[],
        )
        .await?;
    Ok(Backlog {
        messages: row.try_get("messages")?,
        oldest: time_if_any(&row, "oldest")?,
        most_attempts: row.try_get("most_attempts")?,
    })
}

pub(crate) async fn delete(db: &impl GenericClient, id: Uuid) -> Result<(), Unexpected> {
    let sql = "DELETE FROM outbox WHERE message_id = $1";
    db.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Message, Unexpected> {
    let id: Uuid = row.try_get("message_id")?;
    let user_id: Option<Uuid> = row.try_get("user_id")?;
    let content = match user_id {
        Some(user_id) => match Notice::from_name(row.try_get("notice")?) {
            Some(notice) => Content::Notice(Waiting {
                user_id: UserId::new(user_id),
                notice,
                device_sealed: row.try_get("device_sealed")?,
            }),
            None => Content::Unknown,
        },
        None => Content::Errand(Sealed {
            bytes: row.try_get("sealed")?,
            service_key_id: row.try_get("service_key_id")?,
        }),
    };
    Ok(Message {
        id,
        content,
        created_at: time(row, "created_at")?,
    })
}
