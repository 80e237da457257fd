//! Tables `totp_factors` and `recovery_codes`.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
    user_id::UserId,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

/// A person's authenticator, its secret still sealed.
pub(crate) struct Factor {
    pub(crate) id: Uuid,
    pub(crate) secret_sealed: Vec<u8>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) confirmed: bool,
    /// Wrong codes since the last right one.
    pub(crate) failures: u32,
    pub(crate) locked_until: Option<OffsetDateTime>,
}

/// The person's authenticator, confirmed or not.
pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Factor>, Unexpected> {
    let sql = "SELECT * FROM totp_factors WHERE user_id = $1";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.as_ref().map(read).transpose()
}

/// The same, which no other transaction changes until this one ends: whoever shows a code of this person waits.
pub(crate) async fn find_and_lock(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Factor>, Unexpected> {
    let sql = "SELECT * FROM totp_factors WHERE user_id = $1 FOR UPDATE";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.as_ref().map(read).transpose()
}

/// Stores an authenticator that is to be confirmed, in place of one that was not; `false` when there is a
/// confirmed one. Failures stay counted: offering again is no way to guess again.
pub(crate) async fn offer(
    db: &impl GenericClient,
    user: UserId,
    id: Uuid,
    secret_sealed: &[u8],
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "INSERT INTO totp_factors AS factor (user_id, factor_id, secret_sealed, created_at)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id) DO UPDATE
                SET factor_id = $2, secret_sealed = $3, created_at = $4
                WHERE factor.confirmed_at IS NULL",
            &[
                (&user.uuid(), Type::UUID),
                (&id, Type::UUID),
                (&secret_sealed, Type::BYTEA),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// From now on logging in needs this authenticator.
pub(crate) async fn confirm(
    db: &impl GenericClient,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let sql = "UPDATE totp_factors SET confirmed_at = $2 WHERE factor_id = $1";
    db.execute_typed(sql, &[(&id, Type::UUID), (&now, Type::TIMESTAMPTZ)])
        .await?;
    Ok(())
}

/// Uses up the code of a time step; `false` when it, or a later one, has been used already.
pub(crate) async fn spend_step(
    db: &impl GenericClient,
    id: Uuid,
    step: i64,
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "UPDATE totp_factors SET last_step = $2 WHERE factor_id = $1 AND last_step < $2",
            &[(&id, Type::UUID), (&step, Type::INT8)],
        )
        .await?;
    Ok(rows == 1)
}

/// Sets how many wrong codes there were and how long they make the account wait.
pub(crate) async fn count_failures(
    db: &impl GenericClient,
    id: Uuid,
    failures: u32,
    locked_until: Option<OffsetDateTime>,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE totp_factors SET failures = $2, locked_until = $3 WHERE factor_id = $1",
        &[
            (&id, Type::UUID),
            (&i64::from(failures), Type::INT8),
            (&locked_until, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Lets the person's codes be looked at again; how many waits that ended.
pub(crate) async fn forget_failures(
    db: &impl GenericClient,
    user: UserId,
) -> Result<u64, Unexpected> {
    let sql = "UPDATE totp_factors SET failures = 0, locked_until = NULL
               WHERE user_id = $1 AND failures > 0";
    Ok(db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?)
}

/// The person has no second factor any more.
pub(crate) async fn remove(db: &impl GenericClient, user: UserId) -> Result<(), Unexpected> {
    for sql in [
        "DELETE FROM recovery_codes WHERE user_id = $1",
        "DELETE FROM totp_factors WHERE user_id = $1",
    ] {
        db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    }
    Ok(())
}

/// Puts these codes, hashed under that version of the secret, in the place of all that there were.
pub(crate) async fn replace_recovery_codes(
    db: &impl GenericClient,
    user: UserId,
    hashes: &[Vec<u8>],
    version: u32,
) -> Result<(), Unexpected> {
    let sql = "DELETE FROM recovery_codes WHERE user_id = $1";
    db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    db.execute_typed(
        "INSERT INTO recovery_codes (user_id, code_hash, secret_version)
         SELECT $1, unnest($2::bytea[]), $3",
        &[
            (&user.uuid(), Type::UUID),
            (&hashes, Type::BYTEA_ARRAY),
            (&i64::from(version), Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

/// Uses up a recovery code, under whichever version it was stored; `false` when there is none.
pub(crate) async fn spend_recovery_code(
    db: &impl GenericClient,
    user: UserId,
    hashes: &[Vec<u8>],
) -> Result<bool, Unexpected> {
    let rows = db
        .execute_typed(
            "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = ANY($2)",
            &[(&user.uuid(), Type::UUID), (&hashes, Type::BYTEA_ARRAY)],
        )
        .await?;
    Ok(rows == 1)
}

/// How many codes a person has left under that version of the secret.
pub(crate) async fn recovery_codes_left(
    db: &impl GenericClient,
    user: UserId,
    version: u32,
) -> Result<u32, Unexpected> {
    let row = db
        .query_typed_one(
            "SELECT count(*) AS codes_left FROM recovery_codes WHERE user_id = $1 AND secret_version = $2",
            &[
                (&user.uuid(), Type::UUID),
                (&i64::from(version), Type::INT8),
            ],
        )
        .await?;
    let left: i64 = row.try_get("codes_left")?;
    u32::try_from(left).map_err(|_| Unexpected::bug("impossible number of recovery codes"))
}

/// Removes authenticators that were offered before `end` and never confirmed.
pub(crate) async fn discard_unconfirmed_before(
    db: &impl GenericClient,
    end: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let sql = "DELETE FROM totp_factors WHERE confirmed_at IS NULL AND created_at < $1";
    Ok(db.execute_typed(sql, &[(&end, Type::TIMESTAMPTZ)]).await?)
}

fn read(row: &Row) -> Result<Factor, Unexpected> {
    let id: Uuid = row.try_get("factor_id")?;
    let failures: i64 = row.try_get("failures")?;
    let failures = u32::try_from(failures)
        .map_err(|_| Unexpected::bug(format!("impossible failures of factor {id}")))?;
    Ok(Factor {
        id,
        secret_sealed: row.try_get("secret_sealed")?,
        created_at: time(row, "created_at")?,
        confirmed: time_if_any(row, "confirmed_at")?.is_some(),
        failures,
        locked_until: time_if_any(row, "locked_until")?,
    })
}
