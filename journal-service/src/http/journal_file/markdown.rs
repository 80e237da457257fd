//! A record as a Markdown document: what is known of it in YAML in front, then its text as it was written.

use std::fmt::{self, Write as _};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::domain::{
    amount::Amount,
    entry::{Entry, Revision},
    pillar::{Pillar, PillarId},
    record::Record,
    reflection::Reflection,
    score::Score,
    week::Week,
};

/// The name of the document: by its day, so that they sort, and what tells it from others. Nothing of what was written is in
/// it, because file systems do not take all of it.
pub(super) fn name(record: &Record) -> String {
    match record {
        Record::Pillar(pillar) => format!("pillars/{}.md", pillar.id),
        Record::PillarOrder(_) => "pillars/order.md".to_owned(),
        Record::Score(score) => {
            let (pillar, date, id) = (score.pillar, score.date, score.id.uuid());
            format!("pillars/{pillar}/{date}-{id}.md")
        }
        Record::Entry(entry) => {
            let date = entry.content.parts().date;
            format!("{:04}/{date}-{}.md", date.year(), entry.id)
        }
        Record::Morning(feel) => format!("{:04}/{}-morning.md", feel.date.year(), feel.date),
        Record::Evening(feel) => format!("{:04}/{}-evening.md", feel.date.year(), feel.date),
        Record::WeekNote(note) => {
            let week = Week::beginning(note.date).name();
            format!("{}/{week}.md", week.get(..4).unwrap_or_default())
        }
    }
}

/// The document.
pub(super) fn document(record: &Record) -> String {
    match record {
        Record::Pillar(pillar) => of_pillar(pillar),
        Record::PillarOrder(ids) => {
            let mut front = Front::of("pillar_order");
            front.put("pillar_ids", list(ids));
            front.followed_by("")
        }
        Record::Score(score) => of_score(score),
        Record::Entry(entry) => of_entry(entry),
        Record::Morning(feel) => {
            let mut front = Front::of("morning");
            front.put("date", feel.date);
            front.put_some("mental_state", feel.content.mental_state);
            let content = &feel.content;
            front.put_text("strongest_emotion", content.strongest_emotion.as_deref());
            front.put_text("avoiding", content.avoiding.as_deref());
            of_reflection(front, feel, content.note.as_deref())
        }
        Record::Evening(feel) => {
            let mut front = Front::of("evening");
            front.put("date", feel.date);
            let content = &feel.content;
            front.put_text("energy_gave", content.energy_gave.as_deref());
            front.put_text("energy_drained", content.energy_drained.as_deref());
            front.put_text(
                "pressure_or_purpose",
                content.pressure_or_purpose.as_deref(),
            );
            of_reflection(front, feel, content.note.as_deref())
        }
        Record::WeekNote(note) => {
            let mut front = Front::of("week_note");
            front.put("week", Week::beginning(note.date).name());
            of_reflection(front, note, Some(&note.content.note))
        }
    }
}

fn of_entry(entry: &Entry) -> String {
    let content = entry.content.parts();
    let mut front = Front::of("entry");
    front.put("id", entry.id);
    front.put("date", content.date);
    front.put_text("title", Some(&content.title));
    front.put_some("mood", content.mood);
    let tags: Vec<_> = content.tags.iter().map(|tag| quoted(tag)).collect();
    front.put("tags", format_args!("[{}]", tags.join(", ")));
    front.put("pillar_ids", list(&content.pillar_ids));
    front.put("completed", content.completed);
    front.put_stamps(entry.revision, entry.created_at, entry.updated_at);
    front.followed_by(&content.body)
}

fn of_pillar(pillar: &Pillar) -> String {
    let content = pillar.content.parts();
    let mut front = Front::of("pillar");
    front.put("id", pillar.id);
    front.put_text("name", Some(&content.name));
    front.put_text("color", content.color.as_deref());
    front.put_text("icon", content.icon.as_deref());
    front.put_some("target", content.target.map(Amount::number));
    front.put_text("unit", content.unit.as_deref());
    front.put("archived", content.archived);
    front.put_stamps(pillar.revision, pillar.created_at, pillar.updated_at);
    front.followed_by("")
}

fn of_score(score: &Score) -> String {
    let mut front = Front::of("score");
    front.put("id", score.id.uuid());
    front.put("pillar_id", score.pillar);
    front.put("date", score.date);
    front.put("value", score.value.number());
    front.put_time("created_at", score.created_at);
    front.followed_by(score.note.as_deref().unwrap_or_default())
}

fn of_reflection<C>(mut front: Front, reflection: &Reflection<C>, note: Option<&str>) -> String {
    let Reflection {
        revision,
        created_at,
        updated_at,
        ..
    } = reflection;
    front.put_stamps(*revision, *created_at, *updated_at);
    front.followed_by(note.unwrap_or_default())
}

/// What stands in front of a text.
struct Front(String);

impl Front {
    fn of(kind: &str) -> Self {
        Self(format!("---\ntype: {kind}\n"))
    }

    fn put(&mut self, name: &str, value: impl fmt::Display) {
        let _ = writeln!(self.0, "{name}: {value}");
    }

    fn put_some(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn put_text(&mut self, name: &str, text: Option<&str>) {
        self.put_some(name, text.map(quoted));
    }

    fn put_time(&mut self, name: &str, at: OffsetDateTime) {
        self.put(name, at.format(&Rfc3339).unwrap_or_default());
    }

    fn put_stamps(&mut self, revision: Revision, created: OffsetDateTime, updated: OffsetDateTime) {
        self.put("revision", revision);
        self.put_time("created_at", created);
        self.put_time("updated_at", updated);
    }

    fn followed_by(self, text: &str) -> String {
        let Self(mut document) = self;
        document.push_str("---\n");
        if !text.is_empty() {
            document.push('\n');
            document.push_str(text);
            if !text.ends_with('\n') {
                document.push('\n');
            }
        }
        document
    }
}

fn list(ids: &[PillarId]) -> String {
    let ids: Vec<_> = ids.iter().map(PillarId::to_string).collect();
    format!("[{}]", ids.join(", "))
}

/// A double-quoted scalar (YAML 1.2.2 §7.3.1), which may hold every character when those that are not printable (§5.1) are
/// escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        content::{Content, Draft},
        entry::{EntryId, Revision},
    };

    #[test]
    fn front_matter_holds_what_no_text_can_break_out_of() {
        let draft = Draft {
            date: date!(0007 - 01 - 02),
            title: "\"---\"\n---\nmood: 1 \\ \u{0}\u{85}\u{2028}é".to_owned(),
            body: "---\ntitle: none\n---".to_owned(),
            mood: Some(7),
            tags: vec!["a, b".to_owned(), "]".to_owned()],
            pillar_ids: vec![PillarId::new(Uuid::from_u128(8))],
            completed: true,
        };
        let at = datetime!(2026-11-24 08:00:00.000001 UTC);
        let entry = Entry {
            id: EntryId::new(Uuid::from_u128(7)),
            revision: Revision::FIRST,
            created_at: at,
            updated_at: at,
            content: Content::parse(draft).expect("within the limits"),
        };
        let entry = Record::Entry(Box::new(entry));
        assert_eq!(
            name(&entry),
            "0007/0007-01-02-00000000-0000-0000-0000-000000000007.md"
        );
        let expected = r#"---
type: entry
id: 00000000-0000-0000-0000-000000000007
date: 0007-01-02
title: "\"---\"\u000a---\u000amood: 1 \\ \u0000\u0085\u2028é"
mood: 7
tags: ["a, b", "]"]
pillar_ids: [00000000-0000-0000-0000-000000000008]
completed: true
revision: 1
created_at: 2026-11-24T08:00:00.000001Z
updated_at: 2026-11-24T08:00:00.000001Z
---

---
title: none
---
"#;
        assert_eq!(document(&entry), expected);
    }
}
