//! Records of a file that is to become a journal again: each within its limits.

use shared::problem::FieldError;
use time::{Date, Duration, OffsetDateTime, UtcOffset};
use uuid::{Uuid, Variant};

use super::{
    content::{Content, Draft, YEARS},
    entry::{Entry, EntryId, Revision},
    pillar::{Pillar, PillarContent, PillarDraft, PillarId},
    record::{Key, Kind, Record, key_of},
    reflection::{self, Evening, Morning, Reflection, Slot, WeekNote, Written},
    score::{Score, ScoreDraft, ScoreId},
};

/// The highest revision that is taken: every JSON reader knows it exactly, and nobody edits an entry often enough to come
/// to the end of the numbers from there.
const REVISIONS: i64 = (1 << 53) - 1;
/// How far a clock elsewhere may be ahead of ours.
const AHEAD: Duration = Duration::DAY;

/// A record of a file, unchecked.
pub(crate) enum Restored {
    Pillar(Uuid, Stamps, PillarDraft),
    PillarOrder(Vec<PillarId>),
    Score(RestoredScore),
    Entry(RestoredEntry),
    Morning(Date, Stamps, Morning),
    Evening(Date, Stamps, Evening),
    WeekNote(Date, Stamps, WeekNote),
}

/// A score of a file, unchecked.
pub(crate) struct RestoredScore {
    pub(crate) id: Uuid,
    pub(crate) pillar: PillarId,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) draft: ScoreDraft,
}

/// An entry of a file, as it is or was, unchecked.
pub(crate) struct RestoredEntry {
    pub(crate) id: Uuid,
    pub(crate) stamps: Stamps,
    pub(crate) draft: Draft,
}

/// What every record says of itself that can be edited, unchecked.
#[derive(Clone, Copy)]
pub(crate) struct Stamps {
    pub(crate) revision: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// The same, checked.
struct Checked {
    revision: Revision,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Restored {
    pub(super) fn key(&self) -> Key {
        let day = |kind, date: &Date| key_of(Slot { kind, date: *date });
        match self {
            Self::Pillar(id, ..) => (Kind::Pillar, *id),
            Self::PillarOrder(_) => (Kind::PillarOrder, Uuid::nil()),
            Self::Score(score) => (Kind::Score, score.id),
            Self::Entry(entry) => (Kind::Entry, entry.id),
            Self::Morning(date, ..) => day(reflection::Kind::Morning, date),
            Self::Evening(date, ..) => day(reflection::Kind::Evening, date),
            Self::WeekNote(date, ..) => day(reflection::Kind::Week, date),
        }
    }

    /// The record that it was, or every part of it that none has.
    pub(super) fn checked(self, now: OffsetDateTime) -> Result<Record, Vec<FieldError>> {
        Checking::done(now, |checking| match self {
            Self::Pillar(id, stamps, draft) => checking.pillar(id, stamps, draft),
            Self::PillarOrder(ids) => Some(Record::PillarOrder(ids)),
            Self::Score(score) => checking.score(score),
            Self::Entry(entry) => {
                let entry = checking.entry(entry);
                entry.map(|entry| Record::Entry(Box::new(entry)))
            }
            Self::Morning(date, stamps, content) => {
                let feel = checking.reflection(date, stamps, content);
                feel.map(|feel| Record::Morning(Box::new(feel)))
            }
            Self::Evening(date, stamps, content) => {
                let feel = checking.reflection(date, stamps, content);
                feel.map(|feel| Record::Evening(Box::new(feel)))
            }
            Self::WeekNote(date, stamps, content) => {
                let note = checking.reflection(date, stamps, content);
                note.map(|note| Record::WeekNote(Box::new(note)))
            }
        })
    }
}

impl RestoredEntry {
    /// The entry that it was, or every part of it that none has.
    pub(super) fn checked(self, now: OffsetDateTime) -> Result<Entry, Vec<FieldError>> {
        Checking::done(now, |checking| checking.entry(self))
    }
}

/// What is wrong with a record so far.
struct Checking {
    now: OffsetDateTime,
    errors: Vec<FieldError>,
}

impl Checking {
    fn done<T>(
        now: OffsetDateTime,
        check: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Vec<FieldError>> {
        let mut checking = Self {
            now,
            errors: Vec::new(),
        };
        let checked = check(&mut checking);
        let sound = checked.filter(|_| checking.errors.is_empty());
        sound.ok_or(checking.errors)
    }

    fn check(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.errors.push(FieldError::body(field, message));
        }
    }

    fn content<T>(&mut self, content: Result<T, Vec<FieldError>>) -> Option<T> {
        content.map_err(|errors| self.errors.extend(errors)).ok()
    }

    /// Lists go by these ids and have places before and behind all of that kind.
    fn id(&mut self, id: Uuid) {
        let is_ours = id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122;
        self.check(is_ours, "id", "is not a UUID of version 7");
    }

    fn time(&mut self, field: &str, at: OffsetDateTime) -> Option<OffsetDateTime> {
        let at = kept(at, self.now);
        let wrong = "is not a time of the years 1 to 9999, or is in the future";
        self.check(at.is_some(), field, wrong);
        at
    }

    fn stamps(&mut self, stamps: Stamps) -> Option<Checked> {
        let revision = Revision::new(stamps.revision).filter(|it| it.number() <= REVISIONS);
        let wrong = "is not a number from 1 to 2^53 - 1";
        self.check(revision.is_some(), "revision", wrong);
        let created = self.time("created_at", stamps.created_at);
        let updated = self.time("updated_at", stamps.updated_at);
        let in_order = updated.is_none() || created <= updated;
        self.check(in_order, "updated_at", "is before created_at");
        Some(Checked {
            revision: revision?,
            created_at: created?,
            updated_at: updated?,
        })
    }

    fn entry(&mut self, restored: RestoredEntry) -> Option<Entry> {
        let RestoredEntry { id, stamps, draft } = restored;
        self.id(id);
        let stamps = self.stamps(stamps);
        let content = self.content(Content::parse(draft));
        let Checked {
            revision,
            created_at,
            updated_at,
        } = stamps?;
        Some(Entry {
            id: EntryId::new(id),
            revision,
            created_at,
            updated_at,
            content: content?,
        })
    }

    fn pillar(&mut self, id: Uuid, stamps: Stamps, draft: PillarDraft) -> Option<Record> {
        self.id(id);
        let stamps = self.stamps(stamps);
        let content = self.content(PillarContent::parse(draft));
        let Checked {
            revision,
            created_at,
            updated_at,
        } = stamps?;
        Some(Record::Pillar(Box::new(Pillar {
            id: PillarId::new(id),
            revision,
            created_at,
            updated_at,
            content: content?,
        })))
    }

    fn score(&mut self, restored: RestoredScore) -> Option<Record> {
        let RestoredScore {
            id,
            pillar,
            created_at,
            draft,
        } = restored;
        self.id(id);
        let created_at = self.time("created_at", created_at);
        let score = Score::written(
            ScoreId::new(id),
            pillar,
            draft,
            created_at.unwrap_or(self.now),
        );
        let score = self.content(score)?;
        Some(Record::Score(Box::new(score)))
    }

    fn reflection<C: Written>(
        &mut self,
        date: Date,
        stamps: Stamps,
        content: C,
    ) -> Option<Reflection<C>> {
        let wrong = "is not a day from 0001-01-01 to 9999-12-31";
        self.check(YEARS.contains(&date.year()), "date", wrong);
        let stamps = self.stamps(stamps);
        self.errors.extend(content.errors());
        let Checked {
            revision,
            created_at,
            updated_at,
        } = stamps?;
        Some(Reflection {
            date,
            revision,
            created_at,
            updated_at,
            content,
        })
    }
}

/// A time as Postgres keeps it, if it is one that can have been.
fn kept(at: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let at = at.checked_to_offset(UtcOffset::UTC)?;
    let cut = Duration::nanoseconds(i64::from(at.nanosecond() % 1_000));
    let fits = (1..=9999).contains(&at.year()) && at <= now + AHEAD;
    fits.then(|| at.checked_sub(cut)).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use time::macros::datetime;

    use super::super::{
        amount::Amount, content::tests::draft, pillar::tests::draft as pillar_draft,
    };
    use super::*;

    pub(in crate::domain) const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    pub(in crate::domain) const STAMPS: Stamps = Stamps {
        revision: 3,
        created_at: NOW,
        updated_at: NOW,
    };

    pub(in crate::domain) fn id(number: u128) -> Uuid {
        Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + number)
    }

    pub(in crate::domain) fn evening(date: Date) -> Restored {
        let content = Evening {
            energy_gave: None,
            energy_drained: None,
            pressure_or_purpose: None,
            note: Some("late".to_owned()),
        };
        Restored::Evening(date, STAMPS, content)
    }

    fn entry(id: Uuid, stamps: Stamps, draft: Draft) -> Restored {
        Restored::Entry(RestoredEntry { id, stamps, draft })
    }

    /// Which parts of a record are wrong.
    fn pointers(restored: Restored) -> Vec<String> {
        let errors = restored.checked(NOW).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn what_no_entry_can_be_is_named_part_by_part() {
        let of = |id, stamps| pointers(entry(id, stamps, draft()));
        assert_eq!(of(id(1), STAMPS), Vec::<String>::new());
        for foreign in [Uuid::nil(), Uuid::max(), Uuid::from_u128(4 << 76)] {
            assert_eq!(of(foreign, STAMPS), ["#/id"], "{foreign}");
        }
        for revision in [0, -1, i64::MIN, REVISIONS + 1, i64::MAX] {
            let stamps = Stamps { revision, ..STAMPS };
            assert_eq!(of(id(1), stamps), ["#/revision"], "{revision}");
        }
        for updated_at in [
            datetime!(0001-01-01 00:00 +0001),
            datetime!(9999-12-31 23:59 -0001),
            datetime!(0000-12-31 23:59 UTC),
            NOW + Duration::days(2),
            NOW - Duration::SECOND,
        ] {
            let stamps = Stamps {
                updated_at,
                ..STAMPS
            };
            assert_eq!(of(id(1), stamps), ["#/updated_at"], "{updated_at}");
        }
        let stamps = Stamps {
            revision: 0,
            ..STAMPS
        };
        let draft = Draft {
            mood: Some(11),
            ..draft()
        };
        let all = pointers(entry(Uuid::nil(), stamps, draft));
        assert_eq!(all, ["#/id", "#/revision", "#/mood"]);
    }

    #[test]
    fn what_no_other_record_can_be_is_named_too() {
        let stamps = Stamps {
            revision: 0,
            ..STAMPS
        };
        let pillar = PillarDraft {
            name: String::new(),
            ..pillar_draft()
        };
        let pillar = pointers(Restored::Pillar(Uuid::nil(), stamps, pillar));
        assert_eq!(pillar, ["#/id", "#/revision", "#/name"]);
        let early = time::macros::date!(0000 - 12 - 31);
        let score = RestoredScore {
            id: Uuid::nil(),
            pillar: PillarId::new(id(1)),
            created_at: NOW + Duration::days(2),
            draft: ScoreDraft {
                date: early,
                value: Amount::of(1.0).expect("an amount"),
                note: Some("é".repeat(1_001)),
            },
        };
        let score = pointers(Restored::Score(score));
        assert_eq!(score, ["#/id", "#/created_at", "#/date", "#/note"]);
        assert_eq!(pointers(evening(early)), ["#/date"]);
        let note = WeekNote {
            note: "é".repeat(5_001),
        };
        let week = pointers(Restored::WeekNote(early, stamps, note));
        assert_eq!(week, ["#/date", "#/revision", "#/note"]);
    }

    #[test]
    fn a_time_of_elsewhere_is_kept_to_the_microsecond() {
        let at = datetime!(2026-11-24 09:00:00.123456789 +01:00);
        let expected = datetime!(2026-11-24 08:00:00.123456 UTC);
        assert_eq!(kept(at, NOW), Some(expected));
    }
}
