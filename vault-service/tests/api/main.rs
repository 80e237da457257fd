//! The vault through its own door: real TLS, real tokens, a real Postgres (a copy of the migrated template
//! that `cargo stack test` keeps), with an authority, services and people made by the test.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as the tests do"
)]

mod attempts;
mod audit;
mod authority;
mod bodies;
mod bound_tokens;
mod callers;
mod client;
mod create_data_key;
mod destroy_master_key;
mod keys;
mod known_answer;
mod limits;
mod many_at_once;
mod memory;
mod opening;
mod ops;
mod owners;
mod program;
mod replicas;
mod rewrap_data_keys;
mod rotation;
mod seal_keyring;
mod sealing;
mod shreds;
mod start;
mod tombstones;
mod unwrap_data_keys;
mod user_tokens;
mod world;

/// As the program has it: what it leaves in memory is looked for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
