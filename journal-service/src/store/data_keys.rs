//! Table `data_keys`: each person's data keys, as the vault wrapped them.

use shared::{problem::Unexpected, rewrap::KeyTable, user_id::UserId, vault_client::WrappedKey};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Transaction, types::Type};

/// For the rewrapping of all of them. There is one generation, so one key for each person.
pub(crate) const KEYS: KeyTable = KeyTable {
    purpose: "entries",
    behind: "SELECT user_id AS subject, wrapped_key FROM data_keys
             WHERE purpose = 'entries' AND substring(wrapped_key FROM 5 FOR 4) < $1 AND user_id > $2
             ORDER BY user_id LIMIT 100",
    // Whose key somebody holds, such as an import that takes its time, comes with a later look: meanwhile nobody else's is held.
    replace: "UPDATE data_keys SET wrapped_key = new.after
              FROM unnest($1, $2, $3) AS new (subject, before, after)
              JOIN (SELECT user_id FROM data_keys WHERE user_id = ANY ($1) AND purpose = 'entries'
                    FOR NO KEY UPDATE SKIP LOCKED) AS free ON free.user_id = new.subject
              WHERE data_keys.user_id = new.subject AND purpose = 'entries' AND wrapped_key = new.before",
};

/// What there is of a person's key.
#[derive(Clone)]
pub(crate) enum Stored {
    /// Nothing yet: they never wrote.
    Nothing,
    Key(WrappedKey),
    /// Their account is being deleted, or has been: nothing of theirs is used any more.
    Closed,
}

/// The key of that generation, unless the journal is closed: one question, so that both answers are of one moment.
pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
    purpose: &str,
    generation: u32,
) -> Result<Stored, Unexpected> {
    let row = db
        .query_typed_one(
            "SELECT EXISTS (SELECT FROM closed_journals WHERE user_id = $1) AS closed,
                    (SELECT wrapped_key FROM data_keys
                     WHERE user_id = $1 AND purpose = $2 AND generation = $3) AS wrapped_key",
            &[
                (&user.uuid(), Type::UUID),
                (&purpose, Type::TEXT),
                (&i64::from(generation), Type::INT8),
            ],
        )
        .await?;
    if row.try_get("closed")? {
        return Ok(Stored::Closed);
    }
    let bytes: Option<Vec<u8>> = row.try_get("wrapped_key")?;
    Ok(bytes.map_or(Stored::Nothing, |bytes| {
        Stored::Key(WrappedKey::from_bytes(bytes))
    }))
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

/// Until the transaction ends, nobody else holds this person's key, and it is not erased; `false` when it is gone, and
/// everything that was sealed under it. Entries are stored meanwhile.
pub(crate) async fn hold(transaction: &Transaction<'_>, user: UserId) -> Result<bool, Unexpected> {
    let sql = "SELECT 1 FROM data_keys WHERE user_id = $1 ORDER BY generation FOR NO KEY UPDATE";
    let rows = transaction
        .query_typed(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    Ok(!rows.is_empty())
}
