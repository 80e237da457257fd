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
        entry::Entry,
        pillar::PillarId,
        record::Kind,
        restored::{Counts, Line, Restored},
    },
    http::entries,
};

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

/// How many records of each kind there are.
#[derive(Object)]
struct RecordCounts {
    entry: u64,
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

/// The line of an entry.
pub(in crate::http) fn entry(entry: Entry) -> String {
    line(Kind::Entry.name(), &entries::Entry::from(entry))
}

/// The line that ends a file.
pub(in crate::http) fn trailer(counts: Counts) -> String {
    let records = RecordCounts {
        entry: counts.of(Kind::Entry),
    };
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
        "trailer" => {
            let trailer: Trailer = parsed(record)?;
            let mut counts = Counts::default();
            counts.add(Kind::Entry, trailer.records.entry);
            Ok(Line::Trailer(counts))
        }
        kind => match Kind::named(kind) {
            Some(Kind::Entry) => Ok(Line::Entry(Box::new(parsed::<EntryLine>(record)?.into()))),
            None => Err(one(
                "unknown_type",
                "#/type",
                "is not a type of this version",
            )),
        },
    }
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

impl From<EntryLine> for Restored {
    fn from(line: EntryLine) -> Self {
        Self {
            id: line.id,
            revision: line.revision,
            created_at: line.created_at,
            updated_at: line.updated_at,
            draft: Draft {
                date: line.date,
                title: line.title,
                body: line.body,
                mood: line.mood,
                tags: line.tags,
                pillar_ids: line.pillar_ids.into_iter().map(PillarId::new).collect(),
                completed: line.completed,
            },
        }
    }
}
