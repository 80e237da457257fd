//! The local launcher of Keystead and its test harness: one code path for `cargo stack up`, `cargo stack test` and
//! tests that start a [`Stack`] of their own.
//!
//! A stack is a private Postgres cluster, a private Redis, generated secrets and certificates, and the three real
//! binaries, all on free ports of the loopback interface and all in one folder. Nothing outlives the launcher: every
//! child asks the kernel to be stopped with it (see the `process` module).
//!
//! Tests use it at two heights:
//!
//! - under `cargo stack test`, [`Addresses::of_the_test_run`] is the one stack all tests share, and
//!   [`database::cloned`] a migrated database of a test's own;
//! - [`Stack::for_a_test`] starts another whole stack, for faults and unusual settings.
//!
//! This crate depends on no service (it runs their binaries), so every service may have it as a dev-dependency.

mod account;
mod addresses;
mod authenticator;
mod binaries;
mod builder;
mod certificates;
mod cluster;
mod data_dir;
pub mod database;
pub mod env_file;
pub mod environment;
mod failure;
pub mod forgery;
pub mod install;
pub mod mail;
mod migration;
mod person;
pub mod ports;
mod postgres;
mod private_file;
pub mod process;
mod progress;
mod redis;
mod redis_cluster;
pub mod repository;
mod running_service;
mod secrets;
mod service;
pub mod smtp_sink;
mod stack;
mod subcommand;
pub mod suite_log;
mod until;
mod wiring;

pub use addresses::Addresses;
pub use authenticator::Authenticator;
pub use binaries::{Binaries, Profile};
pub use builder::{Builder, mebibytes};
pub use failure::Failure;
pub use person::{Answer, Person};
pub use progress::Progress;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use service::{PerService, Service};
pub use stack::{Footprint, Stack};
pub use until::until;
