//! The only SQL of the journal: sealed entries, and the wrapped keys they are sealed under.

pub(crate) mod data_keys;
pub(crate) mod entries;

use shared::postgres::Migration;

/// The schema, oldest step first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_entries.sql",
        sql: include_str!("../../migrations/0001_entries.sql"),
    },
    Migration {
        name: "0003_finite_times.sql",
        sql: include_str!("../../migrations/0003_finite_times.sql"),
    },
];
