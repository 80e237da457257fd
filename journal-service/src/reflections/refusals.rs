//! The stable codes for what several operations on feels and notes of weeks refuse.

use shared::problem::Case;

pub(super) const REFLECTION_NOT_FOUND: Case =
    Case::new(404, "reflection_not_found", "Nothing was written here");
pub(super) const REFLECTION_UNREADABLE: Case = Case::new(
    409,
    "reflection_unreadable",
    "What is stored here does not open",
);
pub(super) const REVISION_CONFLICT: Case = Case::new(
    412,
    "revision_conflict",
    "What is there has another revision than If-Match names",
);
