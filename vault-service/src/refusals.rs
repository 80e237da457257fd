//! The stable codes that several operations refuse with.

use shared::problem::Case;
use uuid::Uuid;

use crate::domain::{policy::Denied, slot::SlotDamaged};

pub(crate) const NOT_ALLOWED: Case = Case::new(
    403,
    "not_allowed",
    "This service may not do that for this purpose",
);
pub(crate) const PERSON_MISSING: Case = Case::new(
    403,
    "user_token_required",
    "The person's own access token is required in X-User-Token",
);
pub(crate) const ANOTHER_PERSON: Case = Case::new(
    403,
    "user_token_mismatch",
    "The access token in X-User-Token is another person's",
);
pub(crate) const SLOT_DAMAGED: Case = Case::new(
    409,
    "slot_damaged",
    "The subject's slot in the vault's database does not open",
);
pub(crate) const SHRED_PENDING: Case = Case::new(
    409,
    "shred_pending",
    "This subject is being shredded; until the salt goes it can be taken back",
);
pub(crate) const SHREDDED: Case = Case::new(
    410,
    "shredded",
    "This subject has been shredded and never comes back",
);

/// Tells the operator, whatever the caller makes of the refusal: nobody but them can do something about it.
pub(crate) fn log_damage(subject: Uuid, cause: SlotDamaged) {
    tracing::error!(%subject, %cause, "the slot of a subject was tampered with: it does not open");
}

/// How the policy's answer reads to a client.
pub(crate) fn denied(cause: Denied) -> &'static Case {
    match cause {
        Denied::NotAllowed => &NOT_ALLOWED,
        Denied::PersonMissing => &PERSON_MISSING,
        Denied::AnotherPerson => &ANOTHER_PERSON,
    }
}
