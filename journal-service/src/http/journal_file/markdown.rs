//! An entry as a Markdown document: what is known of it in YAML in front, then its title and its text as it was written.

use std::fmt::Write as _;

use time::format_description::well_known::Rfc3339;

use crate::domain::{entry::Entry, pillar::PillarId};

/// The name of the document: by its day, so that they sort, and its id, so that no two are alike. Nothing of what was
/// written is in it, because file systems do not take all of it.
pub(super) fn name(entry: &Entry) -> String {
    let date = entry.content.parts().date;
    format!("{:04}/{date}-{}.md", date.year(), entry.id)
}

/// The document.
pub(super) fn document(entry: &Entry) -> String {
    let content = entry.content.parts();
    let mut text = String::with_capacity(content.body.len() + 512);
    text.push_str("---\n");
    let mut put = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}: {value}");
    };
    put("id", &entry.id.to_string());
    put("date", &content.date.to_string());
    put("title", &quoted(&content.title));
    if let Some(mood) = content.mood {
        put("mood", &mood.to_string());
    }
    let tags: Vec<_> = content.tags.iter().map(|tag| quoted(tag)).collect();
    put("tags", &format!("[{}]", tags.join(", ")));
    let pillars: Vec<_> = content.pillar_ids.iter().map(PillarId::to_string).collect();
    put("pillar_ids", &format!("[{}]", pillars.join(", ")));
    put("completed", &content.completed.to_string());
    put("revision", &entry.revision.to_string());
    for (name, at) in [
        ("created_at", entry.created_at),
        ("updated_at", entry.updated_at),
    ] {
        put(name, &at.format(&Rfc3339).unwrap_or_default());
    }
    text.push_str("---\n\n");
    text.push_str(&content.body);
    if !content.body.ends_with('\n') {
        text.push('\n');
    }
    text
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
        assert_eq!(
            name(&entry),
            "0007/0007-01-02-00000000-0000-0000-0000-000000000007.md"
        );
        let expected = r#"---
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
