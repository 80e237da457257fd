//! The only SQL of identity, and its only Redis.

pub(crate) mod accounts;
pub(crate) mod address_changes;
pub(crate) mod counters;
pub(crate) mod erasures;
pub(crate) mod failed_logins;
pub(crate) mod lockouts;
pub(crate) mod mail_allowances;
pub(crate) mod mfa_challenges;
pub(crate) mod outbox;
pub(crate) mod overviews;
pub(crate) mod password_resets;
pub(crate) mod pending_signups;
pub(crate) mod second_factors;
pub(crate) mod security_events;
pub(crate) mod service_keys;
pub(crate) mod sessions;
pub(crate) mod signing_keys;

use shared::postgres::Migration;

/// The schema, oldest step first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_accounts.sql",
        sql: include_str!("../../migrations/0001_accounts.sql"),
    },
    Migration {
        name: "0002_sessions.sql",
        sql: include_str!("../../migrations/0002_sessions.sql"),
    },
    Migration {
        name: "0003_signing_keys.sql",
        sql: include_str!("../../migrations/0003_signing_keys.sql"),
    },
    Migration {
        name: "0004_lockout.sql",
        sql: include_str!("../../migrations/0004_lockout.sql"),
    },
    Migration {
        name: "0005_second_factors.sql",
        sql: include_str!("../../migrations/0005_second_factors.sql"),
    },
    Migration {
        name: "0006_devices_and_events.sql",
        sql: include_str!("../../migrations/0006_devices_and_events.sql"),
    },
    Migration {
        name: "0007_password_resets.sql",
        sql: include_str!("../../migrations/0007_password_resets.sql"),
    },
    Migration {
        name: "0010_browser_sessions.sql",
        sql: include_str!("../../migrations/0010_browser_sessions.sql"),
    },
    Migration {
        name: "0011_address_changes.sql",
        sql: include_str!("../../migrations/0011_address_changes.sql"),
    },
    Migration {
        name: "0012_erasures.sql",
        sql: include_str!("../../migrations/0012_erasures.sql"),
    },
    Migration {
        name: "0014_known_devices.sql",
        sql: include_str!("../../migrations/0014_known_devices.sql"),
    },
    Migration {
        name: "0015_failed_logins.sql",
        sql: include_str!("../../migrations/0015_failed_logins.sql"),
    },
    Migration {
        name: "0016_secret_versions.sql",
        sql: include_str!("../../migrations/0016_secret_versions.sql"),
    },
];
