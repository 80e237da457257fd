//! Accounts as an operator sees them: table `accounts` and what other tables say of its rows.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
    user_id::UserId,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::accounts::SECOND_FACTOR;
use crate::domain::event::Event;

/// One account, without its address.
pub(crate) struct Overview {
    pub(crate) user_id: UserId,
    /// When the address was confirmed.
    pub(crate) created_at: OffsetDateTime,
    pub(crate) disabled_at: Option<OffsetDateTime>,
    /// Its deletion has begun: it has no address any more.
    pub(crate) deleting: bool,
    pub(crate) second_factor: bool,
    /// As far back as the trail of security events goes.
    pub(crate) last_login_at: Option<OffsetDateTime>,
}

/// The accounts with ids before one, those that were signed up for last first.
pub(crate) async fn page(
    db: &impl GenericClient,
    before: Uuid,
    rows: u32,
) -> Result<Vec<Overview>, Unexpected> {
    let found = db
        .query_typed(
            &format!(
                "{} WHERE user_id < $2 ORDER BY user_id DESC LIMIT $3",
                select()
            ),
            &[
                (&Event::LoggedIn.name(), Type::TEXT),
                (&before, Type::UUID),
                (&i64::from(rows), Type::INT8),
            ],
        )
        .await?;
    found.iter().map(read).collect()
}

/// One of them.
pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Overview>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!("{} WHERE user_id = $2", select()),
            &[
                (&Event::LoggedIn.name(), Type::TEXT),
                (&user.uuid(), Type::UUID),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn select() -> String {
    format!(
        "SELECT user_id, created_at, disabled_at, email_index IS NULL AS deleting, {SECOND_FACTOR},
            (SELECT event.created_at FROM security_events event
             WHERE event.user_id = accounts.user_id AND event.kind = $1
             ORDER BY event.event_id DESC LIMIT 1) AS last_login_at
         FROM accounts"
    )
}

fn read(row: &Row) -> Result<Overview, Unexpected> {
    Ok(Overview {
        user_id: UserId::new(row.try_get("user_id")?),
        created_at: time(row, "created_at")?,
        disabled_at: time_if_any(row, "disabled_at")?,
        deleting: row.try_get("deleting")?,
        second_factor: row.try_get("second_factor")?,
        last_login_at: time_if_any(row, "last_login_at")?,
    })
}
