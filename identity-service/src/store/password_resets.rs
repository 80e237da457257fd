//! Table `password_resets`.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};

use crate::domain::single_use_token::Sought;

/// Whose password a mailed token can replace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) user_id: UserId,
    /// Of the account when the token was mailed. Whatever raised it since has made the token void.
    pub(crate) epoch: i64,
}

/// Remembers a token that is about to be mailed; `false` when the account is gone or disabled.
pub(crate) async fn insert(
    db: &impl GenericClient,
    token_hash: &[u8],
    user: UserId,
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO password_resets (token_hash, user_id, epoch, created_at, expires_at)
             SELECT $1, user_id, session_epoch, $3, $4
             FROM accounts WHERE user_id = $2 AND disabled_at IS NULL",
            &[
                (&token_hash, Type::BYTEA),
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// What a token is good for now, if anything.
pub(crate) async fn find(
    db: &impl GenericClient,
    token: &Sought,
    now: OffsetDateTime,
) -> Result<Option<Found>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT user_id, epoch FROM password_resets JOIN accounts USING (user_id)
             WHERE token_hash = ANY($1) AND user_id = $3 AND expires_at > $2
               AND epoch = session_epoch AND disabled_at IS NULL",
            &[
                (&token.hashes, Type::BYTEA_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&token.subject, Type::UUID),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(Found {
            user_id: UserId::new(row.try_get("user_id")?),
            epoch: row.try_get("epoch")?,
        })
    })
    .transpose()
}

/// Uses a token up; `false` when it was used already.
pub(crate) async fn take(db: &impl GenericClient, token: &Sought) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM password_resets WHERE token_hash = ANY($1)";
    let hashes = &token.hashes;
    let rows = db
        .execute_typed(sql, &[(hashes, Type::BYTEA_ARRAY)])
        .await?;
    Ok(rows == 1)
}

/// Removes tokens that nobody used in time.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let expired = "DELETE FROM password_resets WHERE expires_at <= $1";
    Ok(db
        .execute_typed(expired, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}
