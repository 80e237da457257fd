#![doc = include_str!("../README.md")]

mod application;
mod changes;
mod closure;
mod data_key;
mod doctor;
mod domain;
mod entries;
mod expiry;
mod export;
mod http;
mod import;
mod pillars;
mod reflections;
mod rewrap;
mod rows;
mod settings;
mod slots;
mod store;
mod weekly;

pub use application::Application;
pub use doctor::run_doctor;
pub use http::{document, print_document};
pub use settings::Settings;

use std::sync::Arc;

use shared::{
    access_token::Verifier, clock::Clock, postgres::Pool, serve::AllowedOrigins,
    service_token::TrustedServices, vault_client::VaultClient,
};

use tokio::sync::Semaphore;

use crate::slots::Slots;

/// What one running journal holds.
struct Journal {
    pool: Pool,
    vault: VaultClient,
    /// The frontends whose pages may act with a person's cookies.
    origins: AllowedOrigins,
    /// Verifies the access tokens of people, with identity's public keys.
    people: Arc<Verifier>,
    /// The services whose tokens count: identity may close and erase journals.
    services: TrustedServices,
    clock: Clock,
    /// For looking through a page of somebody's entries.
    searches: Semaphore,
    exports: Arc<Slots>,
    imports: Arc<Slots>,
}
