#![doc = include_str!("../README.md")]

mod application;
mod audit;
mod check_master_keys;
mod create_data_key;
mod doctor;
mod domain;
mod http;
mod limits;
mod purge;
mod read_audit;
mod read_shred;
mod refusals;
mod replay_tombstones;
mod restore_subject;
mod settings;
mod shred_subject;
mod slots;
mod store;
mod subject_request;
mod tombstone_file;
mod unwrap_data_keys;
mod verify_audit;

pub use application::Application;
pub use doctor::run_doctor;
pub use http::{document, print_document};
pub use settings::Settings;
pub use verify_audit::AuditCommand;

use std::sync::Arc;

use shared::{
    access_token::Verifier, clock::Clock, postgres::Pool, service_token::TrustedServices,
};

use time::Duration;

use audit::Audit;
use domain::keyring::Keyring;
use limits::CallerLimits;
use slots::Slots;
use tombstone_file::TombstoneFile;

/// What one running vault holds.
struct Vault {
    keyring: Keyring,
    pool: Pool,
    /// What there is of subjects, asked for by many at once.
    slots: Slots,
    /// The services that may call, by their signing keys.
    trusted: TrustedServices,
    /// Verifies the access tokens of people.
    people: Verifier,
    /// How long a shred can be taken back, where the caller does not say.
    shred_wait: Duration,
    tombstones: Option<Arc<TombstoneFile>>,
    /// Nothing is opened, made or destroyed that it has not recorded.
    audit: Audit,
    limits: CallerLimits,
    clock: Clock,
}
