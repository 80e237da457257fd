//! A file that is to become a journal again: which line may stand where, each record within its limits, none twice, and as
//! many as the last line says.

use std::collections::HashSet;

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

/// What is wrong with a file is told up to so many times; then it is not looked at any further.
pub(crate) const ERRORS: usize = 100;
/// Records of a file at most: their ids are kept, to find those that come twice.
const RECORDS: u64 = 100_000;
/// The highest revision that is taken: every JSON reader knows it exactly, and nobody edits an entry often enough to come
/// to the end of the numbers from there.
const REVISIONS: i64 = (1 << 53) - 1;
/// How far a clock elsewhere may be ahead of ours.
const AHEAD: Duration = Duration::DAY;

/// What a line says.
pub(crate) enum Line {
    Header,
    Record(Box<Restored>),
    Trailer(Counts),
}

/// How many records there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    pub(crate) fn of(self, kind: Kind) -> u64 {
        let Self(mut counts) = self;
        *Self::place(&mut counts, kind)
    }

    pub(crate) fn add(&mut self, kind: Kind, more: u64) {
        let count = Self::place(&mut self.0, kind);
        *count = count.saturating_add(more);
    }

    fn place(counts: &mut [u64; Kind::ALL.len()], kind: Kind) -> &mut u64 {
        let [pillar, order, score, entry, morning, evening, week_note] = counts;
        match kind {
            Kind::Pillar => pillar,
            Kind::PillarOrder => order,
            Kind::Score => score,
            Kind::Entry => entry,
            Kind::Morning => morning,
            Kind::Evening => evening,
            Kind::WeekNote => week_note,
        }
    }

    fn all(self) -> u64 {
        self.0.into_iter().fold(0, u64::saturating_add)
    }
}

/// A record of a file, unchecked.
pub(crate) enum Restored {
    Pillar(Uuid, Stamps, PillarDraft),
    PillarOrder(Vec<PillarId>),
    Score(RestoredScore),
    Entry(Uuid, Stamps, Draft),
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
    fn key(&self) -> Key {
        let day = |kind, date: &Date| key_of(Slot { kind, date: *date });
        match self {
            Self::Pillar(id, ..) => (Kind::Pillar, *id),
            Self::PillarOrder(_) => (Kind::PillarOrder, Uuid::nil()),
            Self::Score(score) => (Kind::Score, score.id),
            Self::Entry(id, ..) => (Kind::Entry, *id),
            Self::Morning(date, ..) => day(reflection::Kind::Morning, date),
            Self::Evening(date, ..) => day(reflection::Kind::Evening, date),
            Self::WeekNote(date, ..) => day(reflection::Kind::Week, date),
        }
    }

    /// The record that it was, or every part of it that none has.
    fn checked(self, now: OffsetDateTime) -> Result<Record, Vec<FieldError>> {
        let mut checking = Checking {
            now,
            errors: Vec::new(),
        };
        let record = match self {
            Self::Pillar(id, stamps, draft) => checking.pillar(id, stamps, draft),
            Self::PillarOrder(ids) => Some(Record::PillarOrder(ids)),
            Self::Score(score) => checking.score(score),
            Self::Entry(id, stamps, draft) => checking.entry(id, stamps, draft),
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
        };
        let sound = record.filter(|_| checking.errors.is_empty());
        sound.ok_or(checking.errors)
    }
}

/// What is wrong with a record so far.
struct Checking {
    now: OffsetDateTime,
    errors: Vec<FieldError>,
}

impl Checking {
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

    fn entry(&mut self, id: Uuid, stamps: Stamps, draft: Draft) -> Option<Record> {
        self.id(id);
        let stamps = self.stamps(stamps);
        let content = self.content(Content::parse(draft));
        let Checked {
            revision,
            created_at,
            updated_at,
        } = stamps?;
        Some(Record::Entry(Box::new(Entry {
            id: EntryId::new(id),
            revision,
            created_at,
            updated_at,
            content: content?,
        })))
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

/// A file as far as it was read.
pub(crate) struct File {
    now: OffsetDateTime,
    lines: u64,
    expected: Expected,
    seen: HashSet<Key>,
    counts: Counts,
    errors: Vec<FieldError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Header,
    Records,
    Nothing,
}

impl File {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self {
            now,
            lines: 0,
            expected: Expected::Header,
            seen: HashSet::new(),
            counts: Counts::default(),
            errors: Vec::new(),
        }
    }

    /// Takes the next line. The record that stands there, with the number of its line, when nothing is wrong with it.
    pub(crate) fn take(&mut self, line: Result<Line, Vec<FieldError>>) -> Option<(u64, Record)> {
        self.lines += 1;
        let expected = self.expected;
        if expected == Expected::Header {
            self.expected = Expected::Records;
        }
        match (line, expected) {
            (Err(errors), _) => self.refuse_all(errors),
            (Ok(Line::Header), Expected::Header) => {}
            (Ok(_), Expected::Header) => {
                self.refuse(self.lines, "missing_header", "must be the header");
            }
            (Ok(Line::Header), _) => {
                self.refuse(self.lines, "misplaced", "is a header after the first line");
            }
            (Ok(_), Expected::Nothing) => {
                self.refuse(self.lines, "misplaced", "comes after the trailer");
            }
            (Ok(Line::Trailer(counts)), Expected::Records) => self.close(counts),
            (Ok(Line::Record(restored)), Expected::Records) => return self.record(*restored),
        }
        None
    }

    /// What else is wrong with a line.
    pub(crate) fn refuse(&mut self, line: u64, code: &str, message: &str) {
        if !self.is_hopeless() {
            let error = FieldError::new("#", message).coded(code).in_line(line);
            self.errors.push(error);
        }
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// Whether so much is wrong that nobody wants to read of more.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.errors.len() >= ERRORS
    }

    /// The end of the file: what is wrong with it.
    pub(crate) fn end(&mut self) -> Vec<FieldError> {
        if self.expected != Expected::Nothing {
            let last = self.lines.max(1);
            self.refuse(last, "truncated", "is the last line, and not the trailer");
        }
        std::mem::take(&mut self.errors)
    }

    fn record(&mut self, restored: Restored) -> Option<(u64, Record)> {
        let key = restored.key();
        if self.counts.all() == RECORDS {
            self.refuse(
                self.lines,
                "too_many_records",
                "is beyond the 100,000th record",
            );
            self.expected = Expected::Nothing;
            return None;
        }
        self.counts.add(key.0, 1);
        if !self.seen.insert(key) {
            self.refuse(
                self.lines,
                "duplicate",
                "is an earlier line's record once more",
            );
            return None;
        }
        match restored.checked(self.now) {
            Ok(record) => Some((self.lines, record)),
            Err(errors) => {
                let coded = |error: FieldError| error.coded("invalid");
                self.refuse_all(errors.into_iter().map(coded).collect());
                None
            }
        }
    }

    fn refuse_all(&mut self, errors: Vec<FieldError>) {
        let line = self.lines;
        let room = ERRORS.saturating_sub(self.errors.len());
        let errors = errors.into_iter().take(room);
        self.errors.extend(errors.map(|error| error.in_line(line)));
    }

    fn close(&mut self, counts: Counts) {
        self.expected = Expected::Nothing;
        // A line that was refused may have been a record; then the numbers say nothing more.
        if counts != self.counts && self.is_sound() {
            self.refuse(
                self.lines,
                "wrong_counts",
                "counts other records than there are",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::{
        amount::Amount, content::tests::draft, pillar::tests::draft as pillar_draft,
    };
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    const STAMPS: Stamps = Stamps {
        revision: 3,
        created_at: NOW,
        updated_at: NOW,
    };

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + number)
    }

    fn entry(number: u128) -> Line {
        Line::Record(Box::new(Restored::Entry(id(number), STAMPS, draft())))
    }

    fn evening(date: Date) -> Restored {
        let content = Evening {
            energy_gave: None,
            energy_drained: None,
            pressure_or_purpose: None,
            note: Some("late".to_owned()),
        };
        Restored::Evening(date, STAMPS, content)
    }

    fn trailer(entries: u64) -> Line {
        let mut counts = Counts::default();
        counts.add(Kind::Entry, entries);
        Line::Trailer(counts)
    }

    /// Codes and lines of what is wrong with a file of these lines.
    fn wrong(lines: impl IntoIterator<Item = Line>) -> Vec<(String, u64)> {
        let mut file = File::new(NOW);
        for line in lines {
            file.take(Ok(line));
        }
        let told = |error: FieldError| Some((error.code?, error.line?));
        file.end().into_iter().filter_map(told).collect()
    }

    #[test]
    fn a_whole_file_is_taken_line_by_line() {
        let mut file = File::new(NOW);
        assert!(file.take(Ok(Line::Header)).is_none());
        let taken = file.take(Ok(entry(1)));
        let entry = taken.as_ref().and_then(|(_, record)| record.entry());
        assert_eq!(entry.map(|entry| entry.revision.number()), Some(3));
        assert_eq!(taken.map(|(line, _)| line), Some(2));
        assert!(file.take(Ok(trailer(1))).is_none());
        assert_eq!(file.end(), []);
        assert_eq!(wrong([Line::Header, trailer(0)]), []);
    }

    #[test]
    fn a_file_that_was_cut_put_together_or_miscounted_is_refused() {
        let found = |code: &str, line| vec![(code.to_owned(), line)];
        assert_eq!(wrong([]), found("truncated", 1));
        assert_eq!(wrong([Line::Header, entry(1)]), found("truncated", 2));
        assert_eq!(wrong([entry(1), trailer(0)]), found("missing_header", 1));
        let again = [Line::Header, Line::Header, trailer(0)];
        assert_eq!(wrong(again), found("misplaced", 2));
        let after = [Line::Header, trailer(0), entry(1)];
        assert_eq!(wrong(after), found("misplaced", 3));
        for counted in [0, 2, u64::MAX] {
            let miscounted = [Line::Header, entry(1), trailer(counted)];
            assert_eq!(wrong(miscounted), found("wrong_counts", 3));
        }
        let twice = [Line::Header, entry(1), entry(1), trailer(2)];
        assert_eq!(wrong(twice), found("duplicate", 3));
    }

    #[test]
    fn no_more_errors_are_told_than_anybody_reads() {
        let lines = std::iter::once(Line::Header).chain((0..1_000).map(|_| Line::Header));
        assert_eq!(wrong(lines).len(), ERRORS);
        let many = (0..1_000).map(|at| FieldError::body(&at.to_string(), "is wrong"));
        let mut file = File::new(NOW);
        file.take(Err(many.collect()));
        assert!(file.is_hopeless());
        assert_eq!(file.end().len(), ERRORS);
    }

    #[test]
    fn only_so_many_records_are_kept_in_mind() {
        let mut file = File::new(NOW);
        file.take(Ok(Line::Header));
        for number in 0..u128::from(RECORDS) {
            assert!(file.take(Ok(entry(number))).is_some());
        }
        assert!(file.take(Ok(entry(1 << 40))).is_none());
        let errors = file.end();
        assert_eq!(errors[0].code.as_deref(), Some("too_many_records"));
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn the_same_day_of_another_kind_is_another_record() {
        let day = time::macros::date!(2026 - 11 - 24);
        let line = |restored| Line::Record(Box::new(restored));
        let morning = || Morning {
            mental_state: Some(7),
            strongest_emotion: None,
            avoiding: None,
            note: None,
        };
        let mut counts = Counts::default();
        for kind in [Kind::Morning, Kind::Evening] {
            counts.add(kind, 1);
        }
        let both = [
            Line::Header,
            line(Restored::Morning(day, STAMPS, morning())),
            line(evening(day)),
            Line::Trailer(counts),
        ];
        assert_eq!(wrong(both), []);
        let twice = [Line::Header, line(evening(day)), line(evening(day))];
        assert_eq!(wrong(twice)[0], ("duplicate".to_owned(), 3));
    }

    /// Which parts of a record are wrong.
    fn pointers(restored: Restored) -> Vec<String> {
        let errors = restored.checked(NOW).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn what_no_entry_can_be_is_named_part_by_part() {
        let of = |id, stamps| pointers(Restored::Entry(id, stamps, draft()));
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
        let all = pointers(Restored::Entry(Uuid::nil(), stamps, draft));
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
