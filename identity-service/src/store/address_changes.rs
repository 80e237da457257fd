//! Table `address_changes`.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::domain::single_use_token::Sought;

/// An address that waits to be confirmed.
pub(crate) struct AddressChange {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    /// Of the account when its password was proven. Whatever raised it since has made the change void.
    pub(crate) epoch: i64,
    /// The new address.
    pub(crate) email_sealed: Vec<u8>,
}

/// Remembers a change whose token is about to be mailed; `false` when the account is disabled or not of that epoch any
/// more.
pub(crate) async fn insert(
    db: &impl GenericClient,
    change: &AddressChange,
    token_hash: &[u8],
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO address_changes (change_id, token_hash, user_id, epoch, email_sealed,
                                          created_at, expires_at)
             SELECT $1, $2, user_id, session_epoch, $5, $6, $7
             FROM accounts WHERE user_id = $3 AND session_epoch = $4 AND disabled_at IS NULL",
            &[
                (&change.id, Type::UUID),
                (&token_hash, Type::BYTEA),
                (&change.user_id.uuid(), Type::UUID),
                (&change.epoch, Type::INT8),
                (&change.email_sealed, Type::BYTEA),
                (&now, Type::TIMESTAMPTZ),
                (&expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// What a token is good for now, if anything. Whether the account is open is asked where its address is replaced.
pub(crate) async fn find(
    db: &impl GenericClient,
    token: &Sought,
    now: OffsetDateTime,
) -> Result<Option<AddressChange>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT change_id, user_id, epoch, address_changes.email_sealed
             FROM address_changes JOIN accounts USING (user_id)
             WHERE token_hash = ANY($1) AND change_id = $3 AND expires_at > $2
               AND epoch = session_epoch",
            &[
                (&token.hashes, Type::BYTEA_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&token.subject, Type::UUID),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(AddressChange {
            id: row.try_get("change_id")?,
            user_id: UserId::new(row.try_get("user_id")?),
            epoch: row.try_get("epoch")?,
            email_sealed: row.try_get("email_sealed")?,
        })
    })
    .transpose()
}

/// Uses a change up; `false` when it was used already.
pub(crate) async fn take(db: &impl GenericClient, id: Uuid) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM address_changes WHERE change_id = $1";
    Ok(db.execute_typed(sql, &[(&id, Type::UUID)]).await? == 1)
}

/// Removes changes that nobody confirmed in time.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let expired = "DELETE FROM address_changes WHERE expires_at <= $1";
    Ok(db
        .execute_typed(expired, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}
