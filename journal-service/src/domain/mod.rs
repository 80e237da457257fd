//! What an entry is, how it is sealed, and the rules around it: no I/O, no clock.

pub(crate) mod change_cursor;
pub(crate) mod content;
pub(crate) mod cursor;
pub(crate) mod entry;
pub(crate) mod idempotency;
pub(crate) mod precondition;
pub(crate) mod record;
pub(crate) mod restored;
pub(crate) mod sealed_entry;
pub(crate) mod search;
