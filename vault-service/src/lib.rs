#![doc = include_str!("../README.md")]

mod application;
mod audit;
mod check_master_keys;
mod create_data_key;
mod destroy_master_key;
mod doctor;
mod domain;
mod follow_master_keys;
mod http;
mod keep_audit_keys;
mod key_source;
mod limits;
mod list_master_keys;
mod master_key_request;
mod master_keys;
mod open_vault;
mod operator;
mod purge;
mod read_audit;
mod read_shred;
mod refusals;
mod replay_tombstones;
mod restore_subject;
mod rewrap_data_keys;
mod seal_keyring;
mod settings;
mod settle_master_key;
mod shred_subject;
mod slots;
mod store;
mod subject_request;
mod tombstone_file;
mod unseal_error;
mod unseal_vault;
mod unwrap_data_keys;
mod verify_audit;

pub use application::Application;
pub use doctor::run_doctor;
pub use http::{document, print_document};
pub use operator::OperatorCommand;
pub use seal_keyring::{PassphraseCommand, SharesCommand};
pub use settings::Settings;
pub use verify_audit::AuditCommand;

use std::sync::Arc;

use shared::{
    access_token::Verifier, clock::Clock, postgres::Pool, service_token::TrustedServices,
};
use time::Duration;
use uuid::Uuid;

use audit::Audit;
use key_source::KeySource;
use limits::CallerLimits;
use master_keys::MasterKeys;
use slots::Slots;
use tombstone_file::TombstoneFile;
use unseal_vault::Unsealing;

/// What one running vault holds.
struct Vault {
    keys: MasterKeys,
    key_source: KeySource,
    unsealing: Unsealing,
    /// This process among the replicas.
    replica: Uuid,
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
