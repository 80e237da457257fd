//! Records of every kind as they lie in the database, for what is about all of them: changes, exports and imports.

use shared::{envelope::DataKey, problem::Unexpected, user_id::UserId};

use crate::{
    domain::{
        record::{Key, Kind, Record, key_of},
        reflection,
        score::SealedScore,
        sealed_entry::{SealedEntry, Unopened},
        sealed_pillar::SealedPillar,
        sealed_reflection::SealedReflection,
    },
    entries, pillars, reflections,
};

/// A row of one of the tables.
pub(crate) enum Row {
    Pillar(SealedPillar),
    Score(SealedScore),
    Entry(SealedEntry),
    Reflection(SealedReflection),
}

impl Row {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Pillar(row) => (Kind::Pillar, row.id.uuid()),
            Self::Score(row) => (Kind::Score, row.id.uuid()),
            Self::Entry(row) => (Kind::Entry, row.id.uuid()),
            Self::Reflection(row) => key_of(row.slot),
        }
    }

    /// Opens it. One that was changed, or pasted from elsewhere, is loud in the log.
    pub(crate) fn open(&self, user: UserId, key: &DataKey) -> Result<Record, Unopened> {
        Ok(match self {
            Self::Pillar(row) => Record::Pillar(pillars::open_alone(row, user, key)?.into()),
            Self::Score(row) => Record::Score(pillars::open_score(row, user, key)?.into()),
            Self::Entry(row) => Record::Entry(entries::open(row, user, key)?.into()),
            Self::Reflection(row) => match row.slot.kind {
                reflection::Kind::Morning => {
                    Record::Morning(reflections::open(row, user, key)?.into())
                }
                reflection::Kind::Evening => {
                    Record::Evening(reflections::open(row, user, key)?.into())
                }
                reflection::Kind::Week => {
                    Record::WeekNote(reflections::open(row, user, key)?.into())
                }
            },
        })
    }
}

/// Rows in the making, by their tables.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) pillars: Vec<SealedPillar>,
    pub(crate) scores: Vec<SealedScore>,
    pub(crate) entries: Vec<SealedEntry>,
    /// What entries were before; they have the keys of their entries, and count for nothing without them.
    pub(crate) revisions: Vec<SealedEntry>,
    pub(crate) reflections: Vec<SealedReflection>,
}

impl Rows {
    /// Seals a record under the person's key. An order of pillars makes no row: there is one for all of them.
    pub(crate) fn add(&mut self, record: &Record, user: UserId, key: &DataKey) {
        match record {
            Record::Pillar(pillar) => self.pillars.push(SealedPillar::seal(pillar, user, key)),
            Record::PillarOrder(_) => {}
            Record::Score(score) => self.scores.push(SealedScore::seal(score, user, key)),
            Record::Entry(entry) => self.entries.push(SealedEntry::seal(entry, user, key)),
            Record::Morning(feel) => {
                self.reflections
                    .push(SealedReflection::seal(feel, user, key));
            }
            Record::Evening(feel) => {
                self.reflections
                    .push(SealedReflection::seal(feel, user, key));
            }
            Record::WeekNote(note) => {
                self.reflections
                    .push(SealedReflection::seal(note, user, key));
            }
        }
    }

    /// Leaves only those whose key is one of what is asked for.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(Key) -> bool) {
        self.pillars
            .retain(|row| is_wanted((Kind::Pillar, row.id.uuid())));
        self.scores
            .retain(|row| is_wanted((Kind::Score, row.id.uuid())));
        self.entries
            .retain(|row| is_wanted((Kind::Entry, row.id.uuid())));
        self.reflections.retain(|row| is_wanted(key_of(row.slot)));
    }

    pub(crate) fn len(&self) -> usize {
        self.pillars.len() + self.scores.len() + self.entries.len() + self.reflections.len()
    }
}

/// Milliseconds of cryptography: not on a thread that others wait for.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unexpected> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Unexpected::bug("sealing or opening records"))
}
