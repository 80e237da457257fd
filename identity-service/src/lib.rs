#![doc = include_str!("../README.md")]

mod applicant;
mod application;
mod cancel_signup;
mod change_email;
mod change_mfa;
mod change_password;
mod chosen_password;
mod confirm_email;
mod confirm_totp;
mod delete_account;
mod device;
mod domain;
mod end_session;
mod enrol_totp;
mod erasure;
mod events;
mod factor_if_any;
mod failed_login;
mod forward_auth;
mod hashing;
mod http;
mod introspect;
mod journal_client;
mod list_key_records;
mod list_security_events;
mod list_sessions;
mod lockout;
mod login;
mod logout;
mod logout_all;
mod mail;
mod mail_request;
mod me;
mod mfa_challenge;
mod mint;
mod notices;
mod operator;
mod outbox_key;
mod person_key;
mod reauthentication;
mod recovery_codes;
mod refresh;
mod reset_password;
mod rotate_keys;
mod second_factor;
mod settings;
mod signing_keys;
mod signup;
mod store;
mod throttle;
mod vault_shred;
mod verify_email;
mod verify_mfa;
mod worker;

pub use application::Application;
pub use http::print_document;
pub use operator::{KeysCommand, UsersCommand, run_doctor};
pub use settings::Settings;

use std::sync::Arc;

use shared::{
    access_token::Verifier, clock::Clock, postgres::Pool, serve::AllowedOrigins,
    service_token::TrustedServices, vault_client::VaultClient,
};
use tokio::sync::Notify;

use domain::{erasure::Terms, lockout::Lockout, secret_keys::SecretKeys};
use hashing::HashingPool;
use journal_client::JournalClient;
use mail::Mailer;
use outbox_key::OutboxKey;
use settings::{Passwords, Sessions};
use signing_keys::SigningKeys;
use throttle::Throttle;

/// What one running identity service holds.
struct Identity {
    pool: Pool,
    vault: VaultClient,
    /// The frontends whose pages may act with a person's cookies.
    origins: AllowedOrigins,
    secrets: Arc<SecretKeys>,
    hashing: HashingPool,
    signing: SigningKeys,
    throttle: Throttle,
    /// Verifies this service's own access tokens, for `/me` and `/logout`.
    verifier: Arc<Verifier>,
    /// Who may ask about tokens.
    services: TrustedServices,
    outbox_key: OutboxKey,
    /// Wakes the worker as soon as there is mail.
    outbox_filled: Notify,
    /// The same for failed logins.
    login_failed: Notify,
    mailer: Mailer,
    /// Which other service has data of people and is to delete it with an account.
    journal: Option<JournalClient>,
    erasure_terms: Terms,
    /// Wakes the worker as soon as an account is to be deleted.
    erasure_begun: Notify,
    passwords: Passwords,
    sessions: Sessions,
    /// Under which name authenticator apps show the account.
    totp_issuer: String,
    lockout: Lockout,
    issuer: String,
    audience: String,
    clock: Clock,
}
