//! Table `data_keys`: each person's data keys, as the vault wrapped them.

use shared::{problem::Unexpected, user_id::UserId, vault_client::WrappedKey};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};

/// The key of that generation, if the person has one.
pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    purpose: &str,
    generation: u32,
) -> Result<Option<WrappedKey>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT wrapped_key FROM data_keys
             WHERE user_id = $1 AND purpose = $2 AND generation = $3",
            &[
                (&user.uuid(), Type::UUID),
                (&purpose, Type::TEXT),
                (&i64::from(generation), Type::INT8),
            ],
        )
        .await?;
    let bytes = row.map(|row| row.try_get("wrapped_key")).transpose()?;
    Ok(bytes.map(WrappedKey::from_bytes))
}

/// Stores a key, unless there is one of that generation already: then nothing changes and that one counts.
pub(crate) async fn insert_first(
    db: &impl GenericClient,
    user: UserId,
    (purpose, generation): (&str, u32),
    key: &WrappedKey,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO data_keys (user_id, purpose, generation, wrapped_key, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        &[
            (&user.uuid(), Type::UUID),
            (&purpose, Type::TEXT),
            (&i64::from(generation), Type::INT8),
            (&key.bytes(), Type::BYTEA),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}
