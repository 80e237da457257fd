//! The stable codes for what several operations on entries refuse.

use std::fmt;

use shared::problem::Case;

use crate::domain::entry::{Entry, Revision};

/// The entry as it is, when it is another revision than the client named. `{:?}` does not print it.
pub(crate) struct CurrentEntry {
    pub(crate) revision: Revision,
    /// `None` when it does not open.
    pub(crate) entry: Option<Box<Entry>>,
}

impl CurrentEntry {
    pub(super) fn of(entry: Entry) -> Self {
        Self {
            revision: entry.revision,
            entry: Some(Box::new(entry)),
        }
    }
}

impl fmt::Display for CurrentEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.revision.fmt(out)
    }
}

impl fmt::Debug for CurrentEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CurrentEntry({})", self.revision)
    }
}

/// Also for an entry of somebody else: whether there is one is nobody else's business.
pub(super) const ENTRY_NOT_FOUND: Case =
    Case::new(404, "entry_not_found", "There is no such entry");
pub(crate) const ENTRY_UNREADABLE: Case =
    Case::new(409, "entry_unreadable", "The stored entry does not open");
/// For a pillar of somebody else and for one that never was alike.
pub(super) const UNKNOWN_PILLAR: Case = Case::new(
    409,
    "unknown_pillar",
    "pillar_ids names what is none of the person's pillars",
);
pub(super) const REVISION_CONFLICT: Case = Case::new(
    412,
    "revision_conflict",
    "The entry has another revision than If-Match names",
);
