//! Entries: one file per thing that a person does with them.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod edit;
pub(crate) mod list;
pub(crate) mod list_revisions;
pub(crate) mod pillars;
pub(crate) mod read;
pub(crate) mod refusals;
pub(crate) mod search;

use shared::{envelope::DataKey, user_id::UserId};

use crate::domain::{
    entry::Entry,
    sealed_entry::{SealedEntry, Unopened},
};

/// Opens a row. One that was changed, or pasted from elsewhere, is loud in the log, by its ids.
pub(crate) fn open(row: &SealedEntry, user: UserId, key: &DataKey) -> Result<Entry, Unopened> {
    row.open(user, key).inspect_err(|cause| {
        let revision = row.revision.number();
        tracing::error!(user.id = %user, entry.id = %row.id, revision, %cause, "an entry does not open");
    })
}
