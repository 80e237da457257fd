//! Tables `pending_signups` and `verification_tokens`.

use shared::{postgres::time, problem::Unexpected};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::accounts::StoredPassword;

use crate::domain::single_use_token::Sought;

/// A sign-up that waits.
pub(crate) struct Pending {
    pub(crate) id: Uuid,
    pub(crate) email_index: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) service_key_id: Uuid,
    pub(crate) password: StoredPassword,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn insert(db: &impl GenericClient, pending: &Pending) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO pending_signups (pending_id, email_index, sealed, service_key_id, password_hash,
                                      pepper_version, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            (&pending.id, Type::UUID),
            (&pending.email_index, Type::BYTEA),
            (&pending.sealed, Type::BYTEA),
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

/// A sign-up while it may still be confirmed.
pub(crate) async fn find(
    db: &impl GenericClient,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<Pending>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT * FROM pending_signups WHERE pending_id = $1 AND expires_at > $2",
            &[(&id, Type::UUID), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The sign-up that a mailed token belongs to, while it may still be confirmed.
pub(crate) async fn find_by_token(
    db: &impl GenericClient,
    token: &Sought,
    now: OffsetDateTime,
) -> Result<Option<Pending>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT pending_signups.* FROM pending_signups JOIN verification_tokens USING (pending_id)
             WHERE token_hash = ANY($1) AND pending_id = $3 AND expires_at > $2",
            &[
                (&token.hashes, Type::BYTEA_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&token.subject, Type::UUID),
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The newest sign-ups that wait for an address, at most `most`.
pub(crate) async fn newest(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
    most: i64,
    now: OffsetDateTime,
) -> Result<Vec<Pending>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT * FROM pending_signups WHERE email_index = ANY($1) AND expires_at > $3
             ORDER BY created_at DESC LIMIT $2",
            &[
                (&email_indexes, Type::BYTEA_ARRAY),
                (&most, Type::INT8),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Remembers a token that is about to be mailed; `false` when the sign-up is gone.
pub(crate) async fn add_token(
    db: &impl GenericClient,
    id: Uuid,
    token_hash: &[u8],
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO verification_tokens (token_hash, pending_id)
             SELECT $2, pending_id FROM pending_signups WHERE pending_id = $1",
            &[(&id, Type::UUID), (&token_hash, Type::BYTEA)],
        )
        .await?;
    Ok(rows == 1)
}

/// Takes a sign-up out; `false` when it is gone already.
pub(crate) async fn take(db: &impl GenericClient, id: Uuid) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM pending_signups WHERE pending_id = $1";
    Ok(db.execute_typed(sql, &[(&id, Type::UUID)]).await? == 1)
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
        sealed: row.try_get("sealed")?,
        service_key_id: row.try_get("service_key_id")?,
        password: StoredPassword::read(row)?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
