//! Identity through HTTP, with the real vault and Postgres that `cargo stack test` starts.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as the tests do"
)]

mod accounts;
mod alive;
mod authenticator;
mod browser_session;
mod change_email;
mod change_password;
mod changed_times;
mod deleted_by_operator;
mod deletion;
mod device;
mod devices;
mod doctor;
mod elsewhere;
mod every_path;
mod expiry;
mod failed_logins;
mod gate;
mod hashing;
mod known_device;
mod lockout;
mod login;
mod logout;
mod mail;
mod me;
mod moved_tokens;
mod new_device;
mod no_enumeration;
mod old_address;
mod outbox;
mod outbox_key;
mod passwords;
mod rank_test;
mod refresh;
mod replica;
mod secret_keys;
mod service;
mod signing_keys;
mod signup;
mod stolen_tables;
mod tampered_factors;
mod throttle;
mod throttle_outages;
mod timing;
mod token_types;
mod totp;
mod trace;
mod trail;
mod unlock;
mod users;
mod validation;
mod vault_away;
mod verify_email;
mod verify_mfa;
mod void_address;
