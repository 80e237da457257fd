//! The stable codes for what several operations on pillars refuse.

use shared::problem::Case;

/// Also for a pillar of somebody else: whether there is one is nobody else's business.
pub(super) const PILLAR_NOT_FOUND: Case =
    Case::new(404, "pillar_not_found", "There is no such pillar");
pub(super) const PILLAR_UNREADABLE: Case = Case::new(
    409,
    "pillar_unreadable",
    "The stored pillar or its newest score does not open",
);
pub(super) const REVISION_CONFLICT: Case = Case::new(
    412,
    "revision_conflict",
    "The pillar has another revision than If-Match names",
);
