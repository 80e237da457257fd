//! What a person writes in one entry, and how much of it.

use std::collections::HashSet;

use shared::problem::FieldError;
use time::Date;

use super::pillar::PillarId;

/// The longest title, in characters (Unicode scalar values).
pub(crate) const TITLE_CHARS: usize = 200;
/// The longest body, in bytes of UTF-8: what one record envelope holds.
pub(crate) const BODY_BYTES: usize = 1 << 20;
/// The most tags of an entry.
pub(crate) const TAGS: usize = 32;
/// The longest tag, in characters.
pub(crate) const TAG_CHARS: usize = 64;
/// The years a calendar day may lie in: those that ISO 8601 writes with four digits and no sign.
pub(super) const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;
/// The most pillars that an entry is about.
pub(crate) const ENTRY_PILLARS: usize = 20;
const MOODS: std::ops::RangeInclusive<u8> = 1..=10;

/// An entry as it came, unchecked. Personal text: no `Debug`.
#[derive(PartialEq, Eq)]
pub(crate) struct Draft {
    /// The calendar day it is about, wherever the person is.
    pub(crate) date: Date,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) mood: Option<u8>,
    pub(crate) tags: Vec<String>,
    pub(crate) pillar_ids: Vec<PillarId>,
    pub(crate) completed: bool,
}

/// An entry within the limits.
#[derive(PartialEq, Eq)]
pub(crate) struct Content(Draft);

impl Content {
    /// The draft, or every part of it that breaks a limit.
    ///
    /// Text is kept exactly as it came: no trimming, no normalising, so that what is read back is what was
    /// written.
    pub(crate) fn parse(draft: Draft) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut check = |holds: bool, field: &str, message: &str| {
            if !holds {
                errors.push(FieldError::body(field, message));
            }
        };
        check(
            YEARS.contains(&draft.date.year()),
            "date",
            "is not a day from 0001-01-01 to 9999-12-31",
        );
        check(
            draft.title.chars().count() <= TITLE_CHARS,
            "title",
            "is longer than 200 characters",
        );
        check(
            draft.body.len() <= BODY_BYTES,
            "body",
            "is longer than 1 MiB of UTF-8",
        );
        check(
            draft.mood.is_none_or(|mood| MOODS.contains(&mood)),
            "mood",
            "is not a number from 1 to 10",
        );
        check(draft.tags.len() <= TAGS, "tags", "has more than 32 items");
        let mut seen = HashSet::new();
        for (index, tag) in draft.tags.iter().take(TAGS).enumerate() {
            let at = format!("tags/{index}");
            let fits = (1..=TAG_CHARS).contains(&tag.chars().count());
            check(fits, &at, "is not 1 to 64 characters long");
            check(seen.insert(tag), &at, "repeats an earlier tag");
        }
        check_pillars(&draft.pillar_ids, &mut errors);
        if errors.is_empty() {
            Ok(Self(draft))
        } else {
            Err(errors)
        }
    }

    /// What was within the limits when it was sealed; they may have become narrower since, and what a person
    /// wrote stays readable.
    pub(super) fn sealed_before(draft: Draft) -> Self {
        Self(draft)
    }

    /// The content without the pillars that are not there any more.
    #[must_use]
    pub(crate) fn with_pillars_among(self, known: &[PillarId]) -> Self {
        let mut draft = self.0;
        draft.pillar_ids.retain(|id| known.contains(id));
        Self(draft)
    }

    /// How much there is to read, in bytes of UTF-8.
    pub(crate) fn text_bytes(&self) -> usize {
        self.0.title.len() + self.0.body.len()
    }

    pub(crate) fn parts(&self) -> &Draft {
        &self.0
    }

    pub(crate) fn into_parts(self) -> Draft {
        self.0
    }
}

fn check_pillars(ids: &[PillarId], errors: &mut Vec<FieldError>) {
    if ids.len() > ENTRY_PILLARS {
        errors.push(FieldError::body("pillar_ids", "has more than 20 items"));
        return;
    }
    let mut seen = HashSet::new();
    for (index, id) in ids.iter().enumerate() {
        if !seen.insert(id) {
            let at = format!("pillar_ids/{index}");
            errors.push(FieldError::body(&at, "repeats an earlier pillar"));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use time::macros::date;
    use uuid::Uuid;

    pub(in crate::domain) fn draft() -> Draft {
        Draft {
            date: date!(2026 - 11 - 24),
            title: "A quiet day".to_owned(),
            body: "Dear diary".to_owned(),
            mood: Some(7),
            tags: vec!["home".to_owned(), "walk".to_owned()],
            pillar_ids: pillars(1),
            completed: true,
        }
    }

    pub(in crate::domain) fn pillars(number: u128) -> Vec<PillarId> {
        let id = |number| PillarId::new(Uuid::from_u128(number));
        (1..=number).map(id).collect()
    }

    fn wrong(draft: Draft) -> Vec<String> {
        let errors = Content::parse(draft).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn everything_up_to_the_limits_is_taken_as_it_came() {
        let full = Draft {
            date: date!(9999 - 12 - 31),
            title: "\u{10ffff}".repeat(TITLE_CHARS),
            body: "x".repeat(BODY_BYTES),
            mood: Some(10),
            tags: (0..TAGS).map(|tag| format!("{tag:é<64}")).collect(),
            pillar_ids: pillars(20),
            completed: false,
        };
        let empty = Draft {
            date: date!(0001 - 01 - 01),
            title: String::new(),
            body: String::new(),
            mood: None,
            tags: Vec::new(),
            pillar_ids: Vec::new(),
            completed: false,
        };
        let odd = Draft {
            body: " \0\u{202e}\r\n e\u{301} ".to_owned(),
            ..draft()
        };
        for right in [full, empty, odd] {
            assert!(Content::parse(right).is_ok());
        }
    }

    #[test]
    fn every_broken_limit_is_named_at_once() {
        let broken = Draft {
            date: date!(0000 - 12 - 31),
            title: "x".repeat(TITLE_CHARS + 1),
            body: "é".repeat(BODY_BYTES / 2 + 1),
            mood: Some(0),
            tags: vec![
                String::new(),
                "a".repeat(TAG_CHARS + 1),
                "b".to_owned(),
                "b".to_owned(),
            ],
            pillar_ids: [pillars(1), pillars(2)].concat(),
            completed: false,
        };
        let pointers = [
            "#/date",
            "#/title",
            "#/body",
            "#/mood",
            "#/tags/0",
            "#/tags/1",
            "#/tags/3",
            "#/pillar_ids/1",
        ];
        assert_eq!(wrong(broken), pointers);
        assert_eq!(
            wrong(Draft {
                mood: Some(11),
                ..draft()
            }),
            ["#/mood"]
        );
        let tags = (0..10_000).map(|tag| tag.to_string()).collect();
        assert_eq!(wrong(Draft { tags, ..draft() }), ["#/tags"]);
        let pillar_ids = pillars(21);
        assert_eq!(
            wrong(Draft {
                pillar_ids,
                ..draft()
            }),
            ["#/pillar_ids"]
        );
    }
}
