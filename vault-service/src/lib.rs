#![doc = include_str!("../README.md")]

mod application;
mod check_master_keys;
mod create_data_key;
mod domain;
mod http;
mod refusals;
mod settings;
mod store;
mod unwrap_data_keys;

pub use application::Application;
pub use http::{document, print_document};
pub use settings::Settings;

use shared::{
    access_token::Verifier, clock::Clock, postgres::Pool, service_token::TrustedServices,
};

use domain::keyring::Keyring;

/// What one running vault holds.
struct Vault {
    keyring: Keyring,
    pool: Pool,
    /// The services that may call, by their signing keys.
    trusted: TrustedServices,
    /// Verifies the access tokens of people.
    people: Verifier,
    clock: Clock,
}
