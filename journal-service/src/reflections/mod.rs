//! Feels and the notes of weeks: what a person writes once for a day or a week. One file per thing that is done with them.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod read;
mod refusals;
pub(crate) mod write;

use shared::{envelope::DataKey, user_id::UserId};

use crate::domain::{
    reflection::{Reflection, Written},
    sealed_entry::Unopened,
    sealed_reflection::SealedReflection,
};

/// Opens a row. One that was changed, or pasted from elsewhere, is loud in the log, by its person, day and kind.
pub(crate) fn open<C: Written>(
    row: &SealedReflection,
    user: UserId,
    key: &DataKey,
) -> Result<Reflection<C>, Unopened> {
    row.open(user, key).inspect_err(|cause| {
        let (day, kind) = (row.slot.date, row.slot.kind.name());
        tracing::error!(user.id = %user, reflection.date = %day, kind, %cause, "a reflection does not open");
    })
}
