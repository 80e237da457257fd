//! The only SQL of the journal: sealed entries and what they were before, sealed pillars and scores, the wrapped keys they
//! are sealed under, and whose journals are closed.

pub(crate) mod changes;
pub(crate) mod closed_journals;
pub(crate) mod data_keys;
pub(crate) mod entries;
pub(crate) mod entry_revisions;
pub(crate) mod idempotency_keys;
pub(crate) mod imports;
pub(crate) mod pillar_orders;
pub(crate) mod pillar_scores;
pub(crate) mod pillars;
pub(crate) mod reflections;
pub(crate) mod weeks;

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
        name: "0006_pillars.sql",
        sql: include_str!("../../migrations/0006_pillars.sql"),
    },
    Migration {
        name: "0007_reflections.sql",
        sql: include_str!("../../migrations/0007_reflections.sql"),
    },
    Migration {
        name: "0010_changes.sql",
        sql: include_str!("../../migrations/0010_changes.sql"),
    },
    Migration {
        name: "0011_quicker.sql",
        sql: include_str!("../../migrations/0011_quicker.sql"),
    },
    Migration {
        name: "0012_stored_beside_their_key.sql",
        sql: include_str!("../../migrations/0012_stored_beside_their_key.sql"),
    },
];
