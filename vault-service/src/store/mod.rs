//! The only SQL of the vault: sealed salts and their end, key-check values, which master key wraps which data key, and
//! the audit.

pub(crate) mod audit;
pub(crate) mod data_keys;
pub(crate) mod kept_audit_keys;
pub(crate) mod master_keys;
pub(crate) mod replicas;
pub(crate) mod shreds;
pub(crate) mod subjects;

use shared::{postgres::Migration, problem::Unexpected};
use tokio_postgres::Transaction;

/// What the transaction commits is on disk then, whatever Postgres is told of commits.
pub(crate) async fn wait_for_the_disk(transaction: &Transaction<'_>) -> Result<(), Unexpected> {
    let sql = "SELECT set_config('synchronous_commit', coalesce(nullif(its, 'off'), 'on'), true)
               FROM current_setting('synchronous_commit') AS its";
    transaction.query_typed(sql, &[]).await?;
    Ok(())
}

/// The schema, oldest step first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_keys.sql",
        sql: include_str!("../../migrations/0001_keys.sql"),
    },
    Migration {
        name: "0002_shreds.sql",
        sql: include_str!("../../migrations/0002_shreds.sql"),
    },
    Migration {
        name: "0003_audit.sql",
        sql: include_str!("../../migrations/0003_audit.sql"),
    },
    Migration {
        name: "0004_rotation.sql",
        sql: include_str!("../../migrations/0004_rotation.sql"),
    },
    Migration {
        name: "0005_audit_records.sql",
        sql: include_str!("../../migrations/0005_audit_records.sql"),
    },
    Migration {
        name: "0006_audit_by_time.sql",
        sql: include_str!("../../migrations/0006_audit_by_time.sql"),
    },
    Migration {
        name: "0007_kept_audit_keys.sql",
        sql: include_str!("../../migrations/0007_kept_audit_keys.sql"),
    },
];
