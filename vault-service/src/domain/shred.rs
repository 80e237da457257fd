//! A shred: from the request, through a time in which it can be taken back, to the end of the salt.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long a shred may wait at most: whoever is to be gone is gone before a quarter is over.
pub(crate) const LONGEST_WAIT: Duration = Duration::days(90);

/// The shred of one subject, as far as it has come.
#[derive(Clone, Debug)]
pub(crate) struct Shred {
    pub(crate) id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) requested_at: OffsetDateTime,
    /// Until shortly before it can be taken back.
    pub(crate) purge_at: OffsetDateTime,
    /// Once the salt is gone.
    pub(crate) purged: Option<Purged>,
}

/// The end of a shred.
#[derive(Clone, Debug)]
pub(crate) struct Purged {
    pub(crate) at: OffsetDateTime,
    /// What the vault signed, as it stands on the wire and in the tombstone file.
    pub(crate) receipt: String,
}
