//! A file that is to become a journal again: which line may stand where, none twice, and as many as the last line says.

use std::collections::{HashMap, HashSet};

use shared::problem::FieldError;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entry::{Entry, REVISIONS_KEPT},
    pillar::PillarId,
    record::{Key, Kind, Record},
    restored::{Restored, RestoredEntry},
};

/// What is wrong with a file is told up to so many times; then it is not looked at any further.
pub(crate) const ERRORS: usize = 100;
/// Records of a file at most: their ids are kept, to find those that come twice.
const RECORDS: u64 = 100_000;
/// Revisions of a file at most: what is stored at its end, while the person's other writes wait, must not take long.
const REVISIONS: u64 = 150_000;

/// What a line says.
pub(crate) enum Line {
    Header,
    Record(Box<Restored>),
    Revision(Box<RestoredEntry>),
    Trailer(Counts),
}

/// What stands between header and trailer.
pub(crate) enum Item {
    Record(Record),
    /// What an entry was before an edit.
    Revision(Box<Entry>),
}

impl Item {
    /// The entry of this or of that time.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Record(record) => record.entry(),
            Self::Revision(entry) => Some(entry),
        }
    }

    /// The same; an entry names only pillars that are there.
    #[must_use]
    pub(crate) fn with_pillars_among(self, known: &[PillarId]) -> Self {
        match self {
            Self::Record(record) => Self::Record(record.with_pillars_among(known)),
            Self::Revision(entry) => Self::Revision(Box::new(entry.with_pillars_among(known))),
        }
    }

    /// As [`Record::text_bytes`].
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Record(record) => record.text_bytes(),
            Self::Revision(entry) => entry.content.text_bytes(),
        }
    }
}

/// How many records there are of each kind, and how many revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    records: [u64; Kind::ALL.len()],
    revisions: u64,
}

impl Counts {
    pub(crate) fn of(self, kind: Kind) -> u64 {
        let Self { mut records, .. } = self;
        *Self::place(&mut records, kind)
    }

    pub(crate) fn add(&mut self, kind: Kind, more: u64) {
        let count = Self::place(&mut self.records, kind);
        *count = count.saturating_add(more);
    }

    pub(crate) fn revisions(self) -> u64 {
        self.revisions
    }

    pub(crate) fn add_revisions(&mut self, more: u64) {
        self.revisions = self.revisions.saturating_add(more);
    }

    pub(crate) fn add_item(&mut self, item: &Item) {
        match item {
            Item::Record(record) => self.add(record.kind(), 1),
            Item::Revision(_) => self.add_revisions(1),
        }
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

    fn records(self) -> u64 {
        self.records.into_iter().fold(0, u64::saturating_add)
    }
}

/// A file as far as it was read.
pub(crate) struct File {
    now: OffsetDateTime,
    lines: u64,
    expected: Expected,
    seen: HashSet<Key>,
    histories: HashMap<Uuid, History>,
    counts: Counts,
    errors: Vec<FieldError>,
}

/// The revisions of an entry that may still come: below the last one, and of those that an edit leaves.
struct History {
    below: i64,
    oldest: i64,
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
            histories: HashMap::new(),
            counts: Counts::default(),
            errors: Vec::new(),
        }
    }

    /// Takes the next line. What stands there, with the number of its line, when nothing is wrong with it.
    pub(crate) fn take(&mut self, line: Result<Line, Vec<FieldError>>) -> Option<(u64, Item)> {
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
            (Ok(Line::Record(restored)), Expected::Records) => {
                let record = self.record(*restored)?;
                return Some((self.lines, Item::Record(record)));
            }
            (Ok(Line::Revision(restored)), Expected::Records) => {
                let entry = self.revision(*restored)?;
                return Some((self.lines, Item::Revision(Box::new(entry))));
            }
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

    fn record(&mut self, restored: Restored) -> Option<Record> {
        let key = restored.key();
        if self.counts.records() == RECORDS {
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
        if let Restored::Entry(entry) = &restored {
            let below = entry.stamps.revision;
            let oldest = below.saturating_sub(REVISIONS_KEPT);
            self.histories.insert(entry.id, History { below, oldest });
        }
        self.unless_wrong(restored.checked(self.now))
    }

    /// They stand behind their entry, the newest first: so none comes twice, and nothing has to be kept of them to know that.
    fn revision(&mut self, restored: RestoredEntry) -> Option<Entry> {
        if self.counts.revisions() == REVISIONS {
            let message = "is beyond the 150,000th revision";
            self.refuse(self.lines, "too_many_revisions", message);
            self.expected = Expected::Nothing;
            return None;
        }
        self.counts.add_revisions(1);
        let (id, number) = (restored.id, restored.stamps.revision);
        let Some(history) = self.histories.get_mut(&id) else {
            // A line that was refused may have been its entry.
            if self.is_sound() {
                let message = "is a revision of an entry of no earlier line";
                self.refuse(self.lines, "unknown_entry", message);
            }
            return None;
        };
        if !(history.oldest..history.below).contains(&number) {
            let message = "is not below the one before it, or is of more than 100 edits ago";
            self.refuse(self.lines, "misplaced", message);
            return None;
        }
        history.below = number;
        self.unless_wrong(restored.checked(self.now))
    }

    fn unless_wrong<T>(&mut self, checked: Result<T, Vec<FieldError>>) -> Option<T> {
        let coded = |error: FieldError| error.coded("invalid");
        let told = |errors: Vec<_>| self.refuse_all(errors.into_iter().map(coded).collect());
        checked.map_err(told).ok()
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
    use super::super::{
        content::tests::draft,
        reflection::Morning,
        restored::{
            Stamps,
            tests::{NOW, STAMPS, evening, id},
        },
    };
    use super::*;

    fn restored(number: u128, revision: i64) -> RestoredEntry {
        RestoredEntry {
            id: id(number),
            stamps: Stamps { revision, ..STAMPS },
            draft: draft(),
        }
    }

    fn entry(number: u128) -> Line {
        Line::Record(Box::new(Restored::Entry(restored(number, STAMPS.revision))))
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
        let entry = taken.as_ref().and_then(|(_, item)| item.entry());
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

    fn entry_of(number: u128, revision: i64) -> Line {
        Line::Record(Box::new(Restored::Entry(restored(number, revision))))
    }

    fn revision(number: u128, revision: i64) -> Line {
        Line::Revision(Box::new(restored(number, revision)))
    }

    #[test]
    fn revisions_stand_behind_their_entry_the_newest_first() {
        let file = |revisions: &[i64], count| {
            let lines = [Line::Header, entry_of(1, 200), entry_of(2, 1)].into_iter();
            let revisions = revisions.iter().map(|it| revision(1, *it));
            let mut counts = Counts::default();
            counts.add(Kind::Entry, 2);
            counts.add_revisions(count);
            wrong(lines.chain(revisions).chain([Line::Trailer(counts)]))
        };
        let found = |code: &str, line| vec![(code.to_owned(), line)];
        assert_eq!(file(&[199, 150, 100], 3), []);
        for (misplaced, line) in [
            (vec![200], 4),
            (vec![i64::MAX], 4),
            (vec![150, 150], 5),
            (vec![150, 151], 5),
            (vec![99], 4),
            (vec![i64::MIN], 4),
        ] {
            let count = u64::try_from(misplaced.len()).expect("two at most");
            assert_eq!(file(&misplaced, count), found("misplaced", line));
        }
        assert_eq!(file(&[199], 0), found("wrong_counts", 5));
        assert_eq!(file(&[199], 2), found("wrong_counts", 5));
        let of_nobody = [Line::Header, revision(1, 1)];
        assert_eq!(wrong(of_nobody)[0], ("unknown_entry".to_owned(), 2));
        let first = [Line::Header, revision(1, 1), entry_of(1, 2)];
        assert_eq!(wrong(first)[0], ("unknown_entry".to_owned(), 2));
        // Whatever the entry's revision is, none is of a number that no entry has.
        let low = [Line::Header, entry_of(1, 1), revision(1, 0)];
        assert_eq!(wrong(low)[0], ("invalid".to_owned(), 3));
    }

    #[test]
    fn only_so_many_revisions_are_stored_at_once() {
        let mut file = File::new(NOW);
        file.take(Ok(Line::Header));
        for number in 0..u128::from(REVISIONS / 100) {
            file.take(Ok(entry_of(number, 101)));
            for earlier in (1..=100).rev() {
                assert!(file.take(Ok(revision(number, earlier))).is_some());
            }
        }
        file.take(Ok(entry_of(1 << 40, 2)));
        assert!(file.take(Ok(revision(1 << 40, 1))).is_none());
        let errors = file.end();
        assert_eq!(errors[0].code.as_deref(), Some("too_many_revisions"));
        assert_eq!(errors.len(), 1);
    }

    #[test]
    fn an_entry_that_is_wrong_is_told_and_not_each_of_its_revisions() {
        let mut file = File::new(NOW);
        file.take(Ok(Line::Header));
        file.take(Err(vec![
            FieldError::body("mood", "is wrong").coded("invalid"),
        ]));
        for earlier in [3, 2, 1] {
            assert!(file.take(Ok(revision(1, earlier))).is_none());
        }
        file.take(Ok(trailer(1)));
        assert_eq!(file.end().len(), 1);
    }

    #[test]
    fn a_revision_is_an_entry_within_the_same_limits() {
        let mut long = restored(1, 2);
        long.draft.mood = Some(11);
        let lines = [Line::Header, entry_of(1, 3), Line::Revision(Box::new(long))];
        assert_eq!(wrong(lines)[0], ("invalid".to_owned(), 3));
    }
}
