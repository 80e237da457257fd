//! Table `sessions`.

use shared::{postgres::time, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::{carrier::Carrier, refresh_token::State};

/// Sessions in a list at most: nobody reads more, and whoever logs in ten thousand times fills no memory.
const LISTED: i64 = 200;

/// A session that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) state: State,
    pub(crate) auth_time: OffsetDateTime,
    pub(crate) amr: Vec<String>,
    pub(crate) epoch: i64,
    pub(crate) carrier: Carrier,
}

/// A session as its person sees it in a list, its device still sealed.
pub(crate) struct Listed {
    pub(crate) id: Uuid,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_used_at: OffsetDateTime,
    pub(crate) device_sealed: Option<Vec<u8>>,
}

/// Why a session ended, as the database spells it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EndReason {
    Logout,
    /// Every session of the person was ended at once.
    LogoutAll,
    /// Ended by the person from another session.
    Revoked,
    Reuse,
    /// The password was replaced by whoever reads the mails.
    PasswordReset,
    /// The password was changed in another session.
    PasswordChange,
    /// An operator made the password void.
    ResetRequired,
    /// An operator closed the account.
    Disabled,
    /// The account is being deleted.
    AccountDeleted,
}

impl EndReason {
    fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Revoked => "revoked",
            Self::Reuse => "reuse",
            Self::PasswordReset => "password_reset",
            Self::PasswordChange => "password_change",
            Self::ResetRequired => "reset_required",
            Self::Disabled => "disabled",
            Self::AccountDeleted => "account_deleted",
        }
    }
}

/// Stores a session that begins now.
pub(crate) async fn insert(
    db: &impl GenericClient,
    session: &Session,
    device_sealed: Option<&[u8]>,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO sessions (session_id, user_id, counter, advanced_at, created_at, expires_at,
                               auth_time, amr, epoch, device_sealed, in_cookies)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
            (&device_sealed, Type::BYTEA),
            (&(session.carrier == Carrier::Cookies), Type::BOOL),
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

/// Ends every session of a person, locked in one order so that nobody waits in a circle; says which.
pub(crate) async fn end_all(
    db: &impl GenericClient,
    user: UserId,
    reason: EndReason,
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, Unexpected> {
    let rows = db
        .query_typed(
            "UPDATE sessions SET ended_at = $2, end_reason = $3
             WHERE session_id IN (
                SELECT session_id FROM sessions WHERE user_id = $1 AND ended_at IS NULL
                ORDER BY session_id FOR UPDATE
             ) RETURNING session_id",
            &[
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&reason.name(), Type::TEXT),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Ends every session of a person but one, which goes on into the account's next epoch, locked as in [`end_all`];
/// `false` when that one has ended, and then nothing may be kept of this transaction.
pub(crate) async fn end_others(
    db: &impl GenericClient,
    user: UserId,
    but: Uuid,
    reason: EndReason,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .query_typed(
            "UPDATE sessions SET
                epoch = CASE WHEN session_id = $4 THEN epoch + 1 ELSE epoch END,
                ended_at = CASE WHEN session_id = $4 THEN NULL ELSE $2 END,
                end_reason = CASE WHEN session_id = $4 THEN NULL ELSE $3 END
             WHERE session_id IN (
                SELECT session_id FROM sessions WHERE user_id = $1 AND ended_at IS NULL
                ORDER BY session_id FOR UPDATE
             ) RETURNING session_id",
            &[
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&reason.name(), Type::TEXT),
                (&but, Type::UUID),
            ],
        )
        .await?;
    let ids: Vec<Uuid> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    Ok(ids.contains(&but))
}

/// Takes the sessions of a person that go on into the account's next epoch, locked as in [`end_all`].
pub(crate) async fn carry_on(
    db: &impl GenericClient,
    user: UserId,
    epoch: i64,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE sessions SET epoch = epoch + 1
         WHERE session_id IN (
            SELECT session_id FROM sessions WHERE user_id = $1 AND epoch = $2 AND ended_at IS NULL
            ORDER BY session_id FOR UPDATE
         )",
        &[(&user.uuid(), Type::UUID), (&epoch, Type::INT8)],
    )
    .await?;
    Ok(())
}

/// The sessions of a person that go on and were used since `idle_since`, the one last used first.
pub(crate) async fn list(
    db: &impl GenericClient,
    user: UserId,
    idle_since: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Vec<Listed>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT session_id, sessions.created_at, advanced_at, device_sealed
             FROM sessions JOIN accounts USING (user_id)
             WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND advanced_at > $3
               AND epoch = session_epoch
             ORDER BY advanced_at DESC, session_id LIMIT $4",
            &[
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&idle_since, Type::TIMESTAMPTZ),
                (&LISTED, Type::INT8),
            ],
        )
        .await?;
    let listed = rows.iter().map(|row| {
        Ok(Listed {
            id: row.try_get("session_id")?,
            created_at: time(row, "created_at")?,
            last_used_at: time(row, "advanced_at")?,
            device_sealed: row.try_get("device_sealed")?,
        })
    });
    listed.collect()
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
            advanced_at: time(row, "advanced_at")?,
            expires_at: time(row, "expires_at")?,
        },
        auth_time: time(row, "auth_time")?,
        amr: row.try_get("amr")?,
        epoch: row.try_get("epoch")?,
        carrier: if row.try_get("in_cookies")? {
            Carrier::Cookies
        } else {
            Carrier::Body
        },
    })
}
