#![doc = include_str!("../README.md")]

pub mod clock;
pub mod envelope;
pub mod random;
pub mod user_id;
