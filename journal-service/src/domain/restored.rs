//! A file that is to become a journal again: which line may stand where, each record within its limits, none twice, and as
//! many as the last line says.

use std::collections::HashSet;

use shared::problem::FieldError;
use time::{Duration, OffsetDateTime, UtcOffset};
use uuid::{Uuid, Variant};

use super::{
    content::{Content, Draft},
    entry::{Entry, EntryId, Revision},
    record::Kind,
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
    Entry(Box<Restored>),
    Trailer(Counts),
}

/// How many records there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    entries: u64,
}

impl Counts {
    pub(crate) fn of(self, kind: Kind) -> u64 {
        match kind {
            Kind::Entry => self.entries,
        }
    }

    pub(crate) fn add(&mut self, kind: Kind, more: u64) {
        let count = match kind {
            Kind::Entry => &mut self.entries,
        };
        *count = count.saturating_add(more);
    }

    fn all(self) -> u64 {
        Kind::ALL.into_iter().map(|kind| self.of(kind)).sum()
    }
}

/// An entry of a file, unchecked.
pub(crate) struct Restored {
    pub(crate) id: Uuid,
    pub(crate) revision: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) draft: Draft,
}

impl Restored {
    /// The entry that it was, or every part of it that none has.
    fn checked(self, now: OffsetDateTime) -> Result<Entry, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut check = |holds: bool, field: &str, message: &str| {
            if !holds {
                errors.push(FieldError::body(field, message));
            }
        };
        // Lists go by these ids and have places before and behind all of that kind.
        let is_ours = self.id.get_version_num() == 7 && self.id.get_variant() == Variant::RFC4122;
        check(is_ours, "id", "is not a UUID of version 7");
        let revision = Revision::new(self.revision).filter(|it| it.number() <= REVISIONS);
        check(
            revision.is_some(),
            "revision",
            "is not a number from 1 to 2^53 - 1",
        );
        let [created, updated] = [self.created_at, self.updated_at].map(|at| kept(at, now));
        let wrong = "is not a time of the years 1 to 9999, or is in the future";
        check(created.is_some(), "created_at", wrong);
        check(updated.is_some(), "updated_at", wrong);
        check(
            updated.is_none() || created <= updated,
            "updated_at",
            "is before created_at",
        );
        let content = Content::parse(self.draft).map_err(|more| errors.extend(more));
        match (revision, created, updated, content) {
            (Some(revision), Some(created_at), Some(updated_at), Ok(content))
                if errors.is_empty() =>
            {
                Ok(Entry {
                    id: EntryId::new(self.id),
                    revision,
                    created_at,
                    updated_at,
                    content,
                })
            }
            _ => Err(errors),
        }
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
    seen: HashSet<Uuid>,
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

    /// Takes the next line. The entry that stands there, with the number of its line, when nothing is wrong with it.
    pub(crate) fn take(&mut self, line: Result<Line, Vec<FieldError>>) -> Option<(u64, Entry)> {
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
            (Ok(Line::Entry(restored)), Expected::Records) => return self.entry(*restored),
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

    fn entry(&mut self, restored: Restored) -> Option<(u64, Entry)> {
        let id = restored.id;
        if self.counts.all() == RECORDS {
            self.refuse(
                self.lines,
                "too_many_records",
                "is beyond the 100,000th record",
            );
            self.expected = Expected::Nothing;
            return None;
        }
        self.counts.add(Kind::Entry, 1);
        if !self.seen.insert(id) {
            self.refuse(self.lines, "duplicate", "has the id of an earlier line");
            return None;
        }
        match restored.checked(self.now) {
            Ok(entry) => Some((self.lines, entry)),
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

    use super::super::content::tests::draft;
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn restored(number: u128) -> Restored {
        Restored {
            id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + number),
            revision: 3,
            created_at: NOW,
            updated_at: NOW,
            draft: draft(),
        }
    }

    fn entry(number: u128) -> Line {
        Line::Entry(Box::new(restored(number)))
    }

    fn trailer(entries: u64) -> Line {
        Line::Trailer(Counts { entries })
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
        assert!(taken.is_some_and(|(line, entry)| line == 2 && entry.revision.number() == 3));
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
    fn what_no_entry_can_be_is_named_part_by_part() {
        let pointers = |restored: Restored| -> Vec<_> {
            let errors = restored.checked(NOW).err().unwrap_or_default();
            errors.into_iter().map(|error| error.pointer).collect()
        };
        assert_eq!(pointers(restored(1)), Vec::<String>::new());
        for id in [Uuid::nil(), Uuid::max(), Uuid::from_u128(4 << 76)] {
            let pointed = pointers(Restored { id, ..restored(1) });
            assert_eq!(pointed, ["#/id"], "{id}");
        }
        for revision in [0, -1, i64::MIN, REVISIONS + 1, i64::MAX] {
            let pointed = pointers(Restored {
                revision,
                ..restored(1)
            });
            assert_eq!(pointed, ["#/revision"], "{revision}");
        }
        for at in [
            datetime!(0001-01-01 00:00 +0001),
            datetime!(9999-12-31 23:59 -0001),
            datetime!(0000-12-31 23:59 UTC),
            NOW + Duration::days(2),
        ] {
            let pointed = pointers(Restored {
                updated_at: at,
                ..restored(1)
            });
            assert_eq!(pointed, ["#/updated_at"], "{at}");
        }
        let backwards = NOW - Duration::SECOND;
        let pointed = pointers(Restored {
            updated_at: backwards,
            ..restored(1)
        });
        assert_eq!(pointed, ["#/updated_at"]);
        let all = Restored {
            id: Uuid::nil(),
            revision: 0,
            draft: Draft {
                mood: Some(11),
                ..draft()
            },
            ..restored(1)
        };
        assert_eq!(pointers(all), ["#/id", "#/revision", "#/mood"]);
    }

    #[test]
    fn a_time_of_elsewhere_is_kept_to_the_microsecond() {
        let at = datetime!(2026-11-24 09:00:00.123456789 +01:00);
        let expected = datetime!(2026-11-24 08:00:00.123456 UTC);
        assert_eq!(kept(at, NOW), Some(expected));
    }
}
