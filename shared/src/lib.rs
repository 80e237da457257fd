#![doc = include_str!("../README.md")]

pub mod access_token;
pub mod clock;
pub mod doctor;
pub mod envelope;
mod explorer;
pub mod hardening;
pub mod jwk;
pub mod jws;
pub mod openapi;
pub mod pem;
pub mod postgres;
pub mod problem;
pub mod random;
pub mod rewrap;
pub mod serve;
pub mod service;
pub mod service_token;
pub mod settings;
pub mod telemetry;
pub mod user_id;
pub mod vault_client;
