//! Stories across the launcher, its private servers and the three real services.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod launcher;
mod lockout;
mod secrets;

mod another_user;
mod browser_session;
mod clean_shutdown;
mod crashed_postgres;
mod descriptors;
mod doctor;
mod erasure;
mod first_entry;
mod forged_tokens;
mod frozen_postgres;
mod frozen_vault;
mod full_disk;
mod hints;
mod key_records;
mod key_rotation;
mod master_key_rotation;
mod private_servers;
mod refused_settings;
mod restart;
mod second_launcher;
mod shared_unwrap;
mod tour;
mod vault_away;
