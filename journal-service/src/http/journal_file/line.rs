//! The lines of a file: a header, the records, and a trailer that counts them, so that a file which was cut is recognised.

use poem_openapi::{
    Object,
    types::{ParseFromJSON, ToJSON},
};
use serde_json::Value;
use shared::{
    problem::FieldError,
    serve::{checked, strict_json},
};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{FORMAT, VERSION};
use crate::{
    domain::{
        content::Draft,
        journal_file::{Counts, Item, Line},
        pillar::PillarId,
        record::{Kind, Record},
        restored::{Restored, RestoredEntry, Stamps},
    },
    http::{entries, feel_shapes, record_shapes},
};

/// The type of a line with an entry as it was before an edit.
const REVISION: &str = "revision";

/// The first line.
#[derive(Object)]
struct Header {
    format: String,
    version: u32,
    exported_at: OffsetDateTime,
}

/// The last line.
#[derive(Object)]
struct Trailer {
    records: RecordCounts,
}

/// How many records of each kind there are. A file of a version that did not know one has none.
#[derive(Object)]
struct RecordCounts {
    #[oai(default)]
    pillar: u64,
    #[oai(default)]
    pillar_order: u64,
    #[oai(default)]
    score: u64,
    #[oai(default)]
    entry: u64,
    #[oai(default)]
    morning: u64,
    #[oai(default)]
    evening: u64,
    #[oai(default)]
    week_note: u64,
    #[oai(default)]
    revision: u64,
}

impl From<Counts> for RecordCounts {
    fn from(counts: Counts) -> Self {
        Self {
            pillar: counts.of(Kind::Pillar),
            pillar_order: counts.of(Kind::PillarOrder),
            score: counts.of(Kind::Score),
            entry: counts.of(Kind::Entry),
            morning: counts.of(Kind::Morning),
            evening: counts.of(Kind::Evening),
            week_note: counts.of(Kind::WeekNote),
            revision: counts.revisions(),
        }
    }
}

impl From<RecordCounts> for Counts {
    fn from(records: RecordCounts) -> Self {
        let mut counts = Self::default();
        counts.add_revisions(records.revision);
        for (kind, count) in [
            (Kind::Pillar, records.pillar),
            (Kind::PillarOrder, records.pillar_order),
            (Kind::Score, records.score),
            (Kind::Entry, records.entry),
            (Kind::Morning, records.morning),
            (Kind::Evening, records.evening),
            (Kind::WeekNote, records.week_note),
        ] {
            counts.add(kind, count);
        }
        counts
    }
}

/// How the pillars are ordered.
#[derive(Object)]
struct PillarOrderLine {
    #[oai(validator(max_items = 200, unique_items))]
    ids: Vec<Uuid>,
}

/// An entry as [`entries::Entry`] writes it.
#[derive(Object)]
struct EntryLine {
    id: Uuid,
    date: Date,
    title: String,
    body: String,
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    mood: Option<u8>,
    #[oai(default, validator(max_items = 32))]
    tags: Vec<String>,
    #[oai(default, validator(max_items = 20))]
    pillar_ids: Vec<Uuid>,
    #[oai(default)]
    completed: bool,
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

/// The line that begins a file.
pub(in crate::http) fn header(now: OffsetDateTime) -> String {
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        exported_at: now,
    };
    line("header", &header)
}

/// The line of a record or of a revision.
pub(in crate::http) fn item(item: Item) -> String {
    match item {
        Item::Record(it) => record(it),
        Item::Revision(entry) => line(REVISION, &entries::Entry::from(*entry)),
    }
}

fn record(record: Record) -> String {
    let name = record.kind().name();
    match record {
        Record::Pillar(pillar) => line(name, &record_shapes::Pillar::from(*pillar)),
        Record::PillarOrder(ids) => {
            let ids = ids.into_iter().map(PillarId::uuid).collect();
            line(name, &PillarOrderLine { ids })
        }
        Record::Score(score) => line(name, &record_shapes::Score::from(*score)),
        Record::Entry(entry) => line(name, &entries::Entry::from(*entry)),
        Record::Morning(feel) => line(name, &feel_shapes::Morning::from(*feel)),
        Record::Evening(feel) => line(name, &feel_shapes::Evening::from(*feel)),
        Record::WeekNote(note) => line(name, &record_shapes::WeekNote::from(*note)),
    }
}

/// The line that ends a file.
pub(in crate::http) fn trailer(counts: Counts) -> String {
    let records = counts.into();
    line("trailer", &Trailer { records })
}

/// The type comes first, for people and for readers that look no further.
fn line(kind: &str, record: &impl ToJSON) -> String {
    let json = record.to_json_string();
    let members = json.strip_prefix('{').unwrap_or_default();
    format!("{{\"type\":\"{kind}\",{members}\n")
}

/// What a line says, or everything that is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Line, Vec<FieldError>> {
    // Where in the line it goes wrong is not told: the error calls every line the first.
    let value = strict_json(bytes).map_err(|_| one("malformed_json", "#", "is not valid JSON"))?;
    let Value::Object(mut members) = value else {
        return Err(one("invalid", "#", "must be of type object"));
    };
    let Some(Value::String(kind)) = members.remove("type") else {
        return Err(one("unknown_type", "#/type", "is missing"));
    };
    let record = Value::Object(members);
    match kind.as_str() {
        "header" => read_header(record),
        "trailer" => Ok(Line::Trailer(parsed::<Trailer>(record)?.records.into())),
        REVISION => {
            let entry: EntryLine = parsed(record)?;
            Ok(Line::Revision(Box::new(entry.into())))
        }
        kind => match Kind::named(kind) {
            Some(kind) => Ok(Line::Record(Box::new(read_record(kind, record)?))),
            None => Err(one(
                "unknown_type",
                "#/type",
                "is not a type of this version",
            )),
        },
    }
}

fn read_record(kind: Kind, record: Value) -> Result<Restored, Vec<FieldError>> {
    let invalid = |error: FieldError| vec![error.coded("invalid")];
    Ok(match kind {
        Kind::Pillar => {
            let pillar: record_shapes::Pillar = parsed(record)?;
            pillar.restored().map_err(invalid)?
        }
        Kind::PillarOrder => {
            let order: PillarOrderLine = parsed(record)?;
            Restored::PillarOrder(order.ids.into_iter().map(PillarId::new).collect())
        }
        Kind::Score => {
            let score: record_shapes::Score = parsed(record)?;
            score.restored().map_err(invalid)?
        }
        Kind::Entry => Restored::Entry(parsed::<EntryLine>(record)?.into()),
        Kind::Morning => parsed::<feel_shapes::Morning>(record)?.restored(),
        Kind::Evening => parsed::<feel_shapes::Evening>(record)?.restored(),
        Kind::WeekNote => {
            let note: record_shapes::WeekNote = parsed(record)?;
            note.restored().map_err(invalid)?
        }
    })
}

/// What is wrong with a line that nobody keeps.
pub(super) fn too_long() -> Vec<FieldError> {
    one("line_too_long", "#", "is longer than 7 MiB")
}

fn read_header(record: Value) -> Result<Line, Vec<FieldError>> {
    let header: Header = parsed(record)?;
    if header.format != FORMAT {
        return Err(one(
            "unknown_format",
            "#/format",
            format!("is not {FORMAT}"),
        ));
    }
    if header.version != VERSION {
        let known = format!("is not {VERSION}, which is all that this service reads");
        return Err(one("unknown_format", "#/version", known));
    }
    Ok(Line::Header)
}

fn parsed<T: ParseFromJSON + 'static>(record: Value) -> Result<T, Vec<FieldError>> {
    let coded = |error: FieldError| error.coded("invalid");
    checked(record).map_err(|errors| errors.into_iter().map(coded).collect())
}

fn one(code: &str, pointer: &str, message: impl Into<String>) -> Vec<FieldError> {
    vec![FieldError::new(pointer, message).coded(code)]
}

impl From<EntryLine> for RestoredEntry {
    fn from(line: EntryLine) -> Self {
        let stamps = Stamps {
            revision: line.revision,
            created_at: line.created_at,
            updated_at: line.updated_at,
        };
        let draft = Draft {
            date: line.date,
            title: line.title,
            body: line.body,
            mood: line.mood,
            tags: line.tags,
            pillar_ids: line.pillar_ids.into_iter().map(PillarId::new).collect(),
            completed: line.completed,
        };
        Self {
            id: line.id,
            stamps,
            draft,
        }
    }
}
