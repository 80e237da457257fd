//! A journal in a file: one record a line, to be read again, or a Markdown document each, to be read by people.

pub(super) mod archive;
pub(super) mod incoming;
pub(super) mod line;
mod markdown;
pub(super) mod writer;

/// What the first line of a file says that this is.
const FORMAT: &str = "keystead-journal";
/// Counts the versions of the format. Files of every one that there has been can be read.
const VERSION: u32 = 1;
/// A JSON text on each line (ndjson.org; no media type is registered).
pub(super) const NDJSON: &str = "application/x-ndjson";
