//! Table `mfa_challenges`.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};

use crate::domain::single_use_token::Sought;

/// Wrong codes that one challenge takes.
const TRIES: i64 = 3;

/// A login that waits for its second factor.
pub(crate) struct Challenge {
    pub(crate) user_id: UserId,
    /// Of the account when the password was compared.
    pub(crate) epoch: i64,
    /// The password came from a device that had logged in before.
    pub(crate) known_device: bool,
}

/// Stores a challenge that begins now.
pub(crate) async fn insert(
    db: &impl GenericClient,
    token_hash: &[u8],
    challenge: &Challenge,
    now: OffsetDateTime,
    expires_at: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO mfa_challenges (token_hash, user_id, epoch, created_at, expires_at, known_device)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            (&token_hash, Type::BYTEA),
            (&challenge.user_id.uuid(), Type::UUID),
            (&challenge.epoch, Type::INT8),
            (&now, Type::TIMESTAMPTZ),
            (&expires_at, Type::TIMESTAMPTZ),
            (&challenge.known_device, Type::BOOL),
        ],
    )
    .await?;
    Ok(())
}

/// A challenge that may still be answered: in time, with tries left, and of an account that is as it was.
pub(crate) async fn find(
    db: &impl GenericClient,
    token: &Sought,
    now: OffsetDateTime,
) -> Result<Option<Challenge>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT user_id, epoch, known_device FROM mfa_challenges JOIN accounts USING (user_id)
             WHERE token_hash = ANY($1) AND user_id = $4 AND expires_at > $2 AND tries < $3
               AND epoch = session_epoch AND disabled_at IS NULL",
            &[
                (&token.hashes, Type::BYTEA_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&TRIES, Type::INT8),
                (&token.subject, Type::UUID),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Counts a try at a challenge that may still be answered, before anything is compared. Whoever else answers it
/// waits until this transaction ends.
pub(crate) async fn count_try(
    db: &impl GenericClient,
    token: &Sought,
    now: OffsetDateTime,
) -> Result<Option<Challenge>, Unexpected> {
    let row = db
        .query_typed_opt(
            "UPDATE mfa_challenges SET tries = tries + 1
             WHERE token_hash = ANY($1) AND user_id = $4 AND expires_at > $2 AND tries < $3
             RETURNING user_id, epoch, known_device",
            &[
                (&token.hashes, Type::BYTEA_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&TRIES, Type::INT8),
                (&token.subject, Type::UUID),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Removes a challenge that was answered.
pub(crate) async fn discard(db: &impl GenericClient, token: &Sought) -> Result<(), Unexpected> {
    let sql = "DELETE FROM mfa_challenges WHERE token_hash = ANY($1)";
    db.execute_typed(sql, &[(&token.hashes, Type::BYTEA_ARRAY)])
        .await?;
    Ok(())
}

/// Removes challenges that nobody answered in time.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let sql = "DELETE FROM mfa_challenges WHERE expires_at <= $1";
    Ok(db.execute_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?)
}

fn read(row: &Row) -> Result<Challenge, Unexpected> {
    Ok(Challenge {
        user_id: UserId::new(row.try_get("user_id")?),
        epoch: row.try_get("epoch")?,
        known_device: row.try_get("known_device")?,
    })
}
