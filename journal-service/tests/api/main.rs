//! The journal through HTTP, with the real vault, identity and Postgres that `cargo stack test` starts.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as the tests do"
)]

mod at_rest;
mod changes;
mod closure;
mod closure_of_the_rest;
mod create;
mod delete;
mod earlier_revisions;
mod edit;
mod export;
mod feels;
mod idempotency;
mod import;
mod isolation;
mod journal;
mod list;
mod outages;
mod pillar_links;
mod pillar_order;
mod pillars;
mod revisions;
mod scores;
mod sealed_kinds;
mod search;
mod tampering;
mod tokens;
mod weekly;
mod whole_journal;
