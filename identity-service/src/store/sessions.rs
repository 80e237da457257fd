//! Table `sessions`.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::refresh_token::State;

/// A session that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) state: State,
    pub(crate) auth_time: OffsetDateTime,
    pub(crate) amr: Vec<String>,
    pub(crate) epoch: i64,
}

/// Why a session ended, as the database spells it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EndReason {
    Logout,
    Reuse,
}

impl EndReason {
    fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
        }
    }
}

/// Stores a session that begins now.
pub(crate) async fn insert(
    db: &impl GenericClient,
    session: &Session,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO sessions (session_id, user_id, counter, advanced_at, created_at, expires_at,
                               auth_time, amr, epoch)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            (&session.id, Type::UUID),
            (&session.user_id.uuid(), Type::UUID),
            (&counted(session.state.counter), Type::INT8),
            (&session.state.advanced_at, Type::TIMESTAMPTZ),
            (&now, Type::TIMESTAMPTZ),
            (&session.state.expires_at, Type::TIMESTAMPTZ),
            (&session.auth_time, Type::TIMESTAMPTZ),
            (&session.amr, Type::TEXT_ARRAY),
            (&session.epoch, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

/// A session that has not ended, which no other transaction changes until this one ends.
pub(crate) async fn find_and_lock(
    db: &impl GenericClient,
    id: Uuid,
) -> Result<Option<Session>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT * FROM sessions WHERE session_id = $1 AND ended_at IS NULL FOR UPDATE",
            &[(&id, Type::UUID)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Moves a locked session's counter.
pub(crate) async fn advance(
    db: &impl GenericClient,
    id: Uuid,
    state: &State,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE sessions SET counter = $2, advanced_at = $3 WHERE session_id = $1",
        &[
            (&id, Type::UUID),
            (&counted(state.counter), Type::INT8),
            (&state.advanced_at, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Ends a session; `false` when it had ended already.
pub(crate) async fn end(
    db: &impl GenericClient,
    id: Uuid,
    reason: EndReason,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "UPDATE sessions SET ended_at = $2, end_reason = $3
             WHERE session_id = $1 AND ended_at IS NULL",
            &[
                (&id, Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&reason.name(), Type::TEXT),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Whether a session of that person is going on, and is of the account's present epoch.
pub(crate) async fn is_alive(
    db: &impl GenericClient,
    id: Uuid,
    user: UserId,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT 1 FROM sessions JOIN accounts USING (user_id)
             WHERE session_id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3
               AND epoch = session_epoch AND disabled_at IS NULL",
            &[
                (&id, Type::UUID),
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Removes sessions that reached their end.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let expired = "DELETE FROM sessions WHERE expires_at <= $1";
    Ok(db
        .execute_typed(expired, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}

fn counted(counter: u64) -> i64 {
    i64::try_from(counter).expect("nobody refreshes a session 2^63 times")
}

fn read(row: &Row) -> Result<Session, Unexpected> {
    let id: Uuid = row.try_get("session_id")?;
    let counter: i64 = row.try_get("counter")?;
    let counter = u64::try_from(counter)
        .map_err(|_| Unexpected::bug(format!("impossible counter of session {id}")))?;
    Ok(Session {
        id,
        user_id: UserId::new(row.try_get("user_id")?),
        state: State {
            counter,
            advanced_at: row.try_get("advanced_at")?,
            expires_at: row.try_get("expires_at")?,
        },
        auth_time: row.try_get("auth_time")?,
        amr: row.try_get("amr")?,
        epoch: row.try_get("epoch")?,
    })
}
