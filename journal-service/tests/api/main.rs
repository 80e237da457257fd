//! The journal through HTTP, with the real vault, identity and Postgres that `cargo stack test` starts.

mod at_rest;
mod create;
mod delete;
mod edit;
mod isolation;
mod journal;
mod list;
mod person;
mod tampering;
mod tokens;
