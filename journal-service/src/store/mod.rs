//! The only SQL of the journal: sealed entries and what they were before, the wrapped keys they are sealed under, and whose journals are closed.

pub(crate) mod changes;
pub(crate) mod closed_journals;
pub(crate) mod data_keys;
pub(crate) mod entries;
pub(crate) mod entry_revisions;
pub(crate) mod idempotency_keys;
pub(crate) mod imports;

use shared::postgres::Migration;

/// The schema, oldest step first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_entries.sql",
        sql: include_str!("../../migrations/0001_entries.sql"),
    },
    Migration {
        name: "0002_closed_journals.sql",
        sql: include_str!("../../migrations/0002_closed_journals.sql"),
    },
    Migration {
        name: "0003_finite_times.sql",
        sql: include_str!("../../migrations/0003_finite_times.sql"),
    },
    Migration {
        name: "0004_revisions.sql",
        sql: include_str!("../../migrations/0004_revisions.sql"),
    },
    Migration {
        name: "0005_idempotency.sql",
        sql: include_str!("../../migrations/0005_idempotency.sql"),
    },
    Migration {
        name: "0010_changes.sql",
        sql: include_str!("../../migrations/0010_changes.sql"),
    },
];
