//! Keeps what the vault has wrapped under its newest master key.

use std::sync::Arc;

use shared::{
    rewrap::{KeyTable, Rewrapping},
    serve::Shutdown,
};

use crate::{
    Identity,
    store::{accounts, service_keys, signing_keys},
};

const TABLES: &[KeyTable] = &[accounts::KEYS, service_keys::KEYS, signing_keys::KEYS];

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, shutdown: Shutdown) {
    let rewrapping = Rewrapping {
        vault: &identity.vault,
        pool: &identity.pool,
        tables: TABLES,
        clock: &identity.clock,
    };
    rewrapping.run(shutdown).await;
}

#[cfg(test)]
mod tests {
    use stack::database;
    use tokio_postgres::{Client, NoTls, types::Type};
    use uuid::Uuid;

    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);
    const STRANGER: Uuid = Uuid::from_u128(3);
    /// Under the first master key and under the second one, as far as the header tells.
    const OLD: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 1, 7];
    const NEW: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 2, 7];

    /// A key of each of the two in every table, but for the service's own of which there is one of a kind.
    const ROWS: &str = "
        INSERT INTO accounts (user_id, email_index, email_sealed, wrapped_key, key_generation, password_hash, pepper_version,
                              created_at)
        SELECT lpad(n::text, 32, '0')::uuid, n::text::bytea, '', decode('010100000000000107', 'hex'), 1, '', 1, now()
        FROM generate_series(1, 2) AS n;
        INSERT INTO service_keys (key_id, purpose, wrapped_key, created_at)
        SELECT lpad(n::text, 32, '0')::uuid, CASE n WHEN 1 THEN 'outbox' ELSE 'other' END,
               decode('010100000000000107', 'hex'), now()
        FROM generate_series(1, 2) AS n;
        INSERT INTO signing_keys (kid, key_id, state, sealed_seed, wrapped_key, created_at)
        SELECT n::text, lpad(n::text, 32, '0')::uuid, 'retired', '', decode('010100000000000107', 'hex'), now()
        FROM generate_series(1, 2) AS n;";

    async fn behind(db: &Client, table: &KeyTable, after: Uuid) -> Vec<Uuid> {
        let version = 2_u32.to_be_bytes();
        let parameters = [
            (&version.as_slice() as _, Type::BYTEA),
            (&after as _, Type::UUID),
        ];
        let rows = db.query_typed(table.behind, &parameters).await;
        let rows = rows.expect("keys");
        rows.iter().map(|row| row.get("subject")).collect()
    }

    async fn replaced(db: &Client, table: &KeyTable, subject: Uuid, before: &[u8]) -> u64 {
        let (subjects, before, after) = ([subject], [before], [NEW]);
        let parameters = [
            (&subjects.as_slice() as _, Type::UUID_ARRAY),
            (&before.as_slice() as _, Type::BYTEA_ARRAY),
            (&after.as_slice() as _, Type::BYTEA_ARRAY),
        ];
        let replaced = db.execute_typed(table.replace, &parameters).await;
        replaced.expect("a number")
    }

    #[tokio::test]
    async fn a_key_takes_the_place_of_the_very_bytes_of_its_own_subject() {
        let database = database::cloned("identity").await;
        let (db, connection) = tokio_postgres::connect(database.url(), NoTls)
            .await
            .expect("the database is there");
        tokio::spawn(connection);
        db.batch_execute(ROWS).await.expect("keys");
        for table in TABLES {
            let purpose = table.purpose;
            let others: &[Uuid] = if purpose == "outbox" { &[] } else { &[BOB] };
            let all = [&[ADA], others].concat();
            assert_eq!(behind(&db, table, Uuid::nil()).await, all, "{purpose}");
            assert_eq!(behind(&db, table, ADA).await, others, "{purpose}");
            // What was changed meanwhile stays, and so does what is somebody else's.
            assert_eq!(replaced(&db, table, ADA, NEW).await, 0, "{purpose}");
            assert_eq!(replaced(&db, table, STRANGER, OLD).await, 0, "{purpose}");
            assert_eq!(replaced(&db, table, ADA, OLD).await, 1, "{purpose}");
            assert_eq!(behind(&db, table, Uuid::nil()).await, others, "{purpose}");
        }
    }
}
