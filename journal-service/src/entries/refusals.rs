//! The stable codes for what several operations on entries refuse.

use shared::problem::Case;

/// Also for an entry of somebody else: whether there is one is nobody else's business.
pub(super) const ENTRY_NOT_FOUND: Case =
    Case::new(404, "entry_not_found", "There is no such entry");
pub(super) const ENTRY_UNREADABLE: Case =
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
