//! An entry, its id and its revision.

use std::fmt;

use shared::random;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{content::Content, pillar::PillarId};

/// Names an entry of one person; unique together with the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryId(Uuid);

impl EntryId {
    /// For an entry that is written at `now`. Ids of one person sort by the time of writing.
    pub(crate) fn generate(now: OffsetDateTime) -> Self {
        Self(random::uuid_v7(now))
    }

    pub(crate) const fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Revisions of an entry that are kept beside the one that counts.
pub(crate) const REVISIONS_KEPT: i64 = 100;

/// Counts the versions of an entry, from 1. Part of what its ciphertext is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revision(i64);

impl Revision {
    pub(crate) const FIRST: Self = Self(1);

    /// `None` below 1.
    pub(crate) fn new(number: i64) -> Option<Self> {
        (number >= 1).then_some(Self(number))
    }

    /// # Panics
    /// After 2^63 edits of one entry.
    pub(crate) fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("nobody edits an entry 2^63 times"),
        )
    }

    /// As JSON and the database write it.
    pub(crate) fn number(self) -> i64 {
        self.0
    }

    /// As the sealing context takes it.
    pub(crate) fn counted(self) -> u64 {
        self.0.unsigned_abs()
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// An entry in the clear, as its owner sees it.
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) revision: Revision,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) content: Content,
}

impl Entry {
    /// A new one, in its first revision.
    pub(crate) fn new(content: Content, now: OffsetDateTime) -> Self {
        Self {
            id: EntryId::generate(now),
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
            content,
        }
    }

    /// The same, naming only pillars that are still there.
    #[must_use]
    pub(crate) fn with_pillars_among(self, known: &[PillarId]) -> Self {
        Self {
            content: self.content.with_pillars_among(known),
            ..self
        }
    }

    /// The next revision, with other content.
    pub(crate) fn edited(&self, content: Content, now: OffsetDateTime) -> Self {
        Self {
            id: self.id,
            revision: self.revision.next(),
            created_at: self.created_at,
            // A clock that was set back must not make an edit look older than what it replaces.
            updated_at: now.max(self.updated_at),
            content,
        }
    }
}
