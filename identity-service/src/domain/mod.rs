//! The pure rules: no `async`, no pool, no clock, no environment.

pub(crate) mod amr;
pub(crate) mod carrier;
pub(crate) mod code_guessing;
pub(crate) mod debtors;
pub(crate) mod device_token;
pub(crate) mod email_address;
pub(crate) mod erasure;
pub(crate) mod event;
pub(crate) mod lockout;
pub(crate) mod notice;
pub(crate) mod password;
pub(crate) mod password_advice;
pub(crate) mod rate_limit;
pub(crate) mod recovery_code;
pub(crate) mod refresh_token;
pub(crate) mod sealed;
pub(crate) mod secret_keys;
pub(crate) mod signing_key;
pub(crate) mod single_use_token;
pub(crate) mod token_type;
pub(crate) mod totp;
