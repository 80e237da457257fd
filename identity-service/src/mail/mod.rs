//! Mail: what is left for the worker to decide, what the mails say, and where they go.

mod errand;
mod files;
mod texts;

pub(crate) use errand::Errand;
pub(crate) use files::{Mailer, Unsendable};
pub(crate) use texts::{confirm_address, somebody_signed_up};
