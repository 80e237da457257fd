//! Table `pending_signups`.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::accounts::StoredPassword;

/// A sign-up that waits.
pub(crate) struct Pending {
    pub(crate) id: Uuid,
    pub(crate) email_index: Vec<u8>,
    pub(crate) email_sealed: Vec<u8>,
    pub(crate) service_key_id: Uuid,
    pub(crate) password: StoredPassword,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn insert(
    db: &impl GenericClient,
    pending: &Pending,
    token_hash: &[u8],
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO pending_signups (pending_id, token_hash, email_index, email_sealed, service_key_id,
                                      password_hash, pepper_version, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            (&pending.id, Type::UUID),
            (&token_hash, Type::BYTEA),
            (&pending.email_index, Type::BYTEA),
            (&pending.email_sealed, Type::BYTEA),
            (&pending.service_key_id, Type::UUID),
            (&pending.password.hash, Type::TEXT),
            (&i64::from(pending.password.pepper_version), Type::INT8),
            (&pending.created_at, Type::TIMESTAMPTZ),
            (&pending.expires_at, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// The sign-up that a mailed token belongs to, while it may still be confirmed.
pub(crate) async fn find(
    db: &impl GenericClient,
    token_hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<Pending>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT * FROM pending_signups WHERE token_hash = $1 AND expires_at > $2",
            &[(&token_hash, Type::BYTEA), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Takes a sign-up out; `false` when it is gone or its token was replaced.
pub(crate) async fn take(
    db: &impl GenericClient,
    token_hash: &[u8],
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "DELETE FROM pending_signups WHERE token_hash = $1 AND expires_at > $2",
            &[(&token_hash, Type::BYTEA), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(rows == 1)
}

/// Gives the newest sign-up of an address another token; its id, when there is one.
pub(crate) async fn replace_newest_token(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
    token_hash: &[u8],
    now: OffsetDateTime,
) -> Result<Option<Uuid>, Unexpected> {
    let row = db
        .query_typed_opt(
            "UPDATE pending_signups SET token_hash = $2 WHERE pending_id = (
                SELECT pending_id FROM pending_signups
                WHERE email_index = ANY($1) AND expires_at > $3
                ORDER BY created_at DESC LIMIT 1
             ) RETURNING pending_id",
            &[
                (&email_indexes, Type::BYTEA_ARRAY),
                (&token_hash, Type::BYTEA),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get("pending_id")).transpose()?)
}

/// Discards what else was waiting for an address that has its account now.
pub(crate) async fn discard_all(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
) -> Result<(), Unexpected> {
    db.execute_typed(
        "DELETE FROM pending_signups WHERE email_index = ANY($1)",
        &[(&email_indexes, Type::BYTEA_ARRAY)],
    )
    .await?;
    Ok(())
}

/// Discards what nobody confirmed in time.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let expired = "DELETE FROM pending_signups WHERE expires_at <= $1";
    Ok(db
        .execute_typed(expired, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}

fn read(row: &Row) -> Result<Pending, Unexpected> {
    Ok(Pending {
        id: row.try_get("pending_id")?,
        email_index: row.try_get("email_index")?,
        email_sealed: row.try_get("email_sealed")?,
        service_key_id: row.try_get("service_key_id")?,
        password: StoredPassword::read(row)?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}
