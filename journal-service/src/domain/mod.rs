//! What an entry is, how it is sealed, and the rules around it: no I/O, no clock.

pub(crate) mod amount;
pub(crate) mod change_cursor;
pub(crate) mod content;
pub(crate) mod cursor;
mod details;
pub(crate) mod entry;
pub(crate) mod idempotency;
pub(crate) mod journal_file;
pub(crate) mod pillar;
pub(crate) mod pillar_order;
pub(crate) mod precondition;
pub(crate) mod recap;
pub(crate) mod record;
pub(crate) mod reflection;
pub(crate) mod restored;
pub(crate) mod score;
pub(crate) mod sealed_entry;
mod sealed_json;
pub(crate) mod sealed_pillar;
pub(crate) mod sealed_reflection;
pub(crate) mod search;
pub(crate) mod week;
