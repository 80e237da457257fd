//! Keeps people's data keys under the vault's newest master key. No proof of the person is needed: nothing comes back in the
//! clear.

use std::sync::Arc;

use shared::{
    rewrap::{KeyTable, Rewrapping},
    serve::Shutdown,
};

use crate::{Journal, store::data_keys};

const TABLES: &[KeyTable] = &[data_keys::KEYS];

/// Works until the shutdown is requested.
pub(crate) async fn run(journal: Arc<Journal>, shutdown: Shutdown) {
    let rewrapping = Rewrapping {
        vault: &journal.vault,
        pool: &journal.pool,
        tables: TABLES,
        clock: &journal.clock,
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

    async fn behind(db: &Client, after: Uuid) -> Vec<Uuid> {
        let version = 2_u32.to_be_bytes();
        let parameters = [
            (&version.as_slice() as _, Type::BYTEA),
            (&after as _, Type::UUID),
        ];
        let rows = db.query_typed(data_keys::KEYS.behind, &parameters).await;
        let rows = rows.expect("keys");
        rows.iter().map(|row| row.get("subject")).collect()
    }

    async fn replaced(db: &Client, subject: Uuid, before: &[u8]) -> u64 {
        let (subjects, before, after) = ([subject], [before], [NEW]);
        let parameters = [
            (&subjects.as_slice() as _, Type::UUID_ARRAY),
            (&before.as_slice() as _, Type::BYTEA_ARRAY),
            (&after.as_slice() as _, Type::BYTEA_ARRAY),
        ];
        let replaced = db.execute_typed(data_keys::KEYS.replace, &parameters).await;
        replaced.expect("a number")
    }

    #[tokio::test]
    async fn a_key_takes_the_place_of_the_very_bytes_of_its_own_person_and_purpose() {
        let database = database::cloned("journal").await;
        let (db, connection) = tokio_postgres::connect(database.url(), NoTls)
            .await
            .expect("the database is there");
        tokio::spawn(connection);
        for (subject, purpose) in [(ADA, "entries"), (ADA, "other"), (BOB, "entries")] {
            let sql = "INSERT INTO data_keys VALUES ($1, $2, 1, $3, now())";
            db.execute_typed(
                sql,
                &[
                    (&subject, Type::UUID),
                    (&purpose, Type::TEXT),
                    (&OLD, Type::BYTEA),
                ],
            )
            .await
            .expect("a key");
        }
        assert_eq!(behind(&db, Uuid::nil()).await, [ADA, BOB]);
        assert_eq!(behind(&db, ADA).await, [BOB]);
        // What was changed meanwhile stays, and so does what is somebody else's.
        assert_eq!(replaced(&db, ADA, NEW).await, 0);
        assert_eq!(replaced(&db, STRANGER, OLD).await, 0);
        assert_eq!(replaced(&db, ADA, OLD).await, 1);
        assert_eq!(behind(&db, Uuid::nil()).await, [BOB]);
        let sql = "SELECT wrapped_key FROM data_keys WHERE purpose = 'other'";
        let other = db.query_one(sql, &[]).await.expect("it is there");
        assert_eq!(other.get::<_, &[u8]>(0), OLD);
    }
}
