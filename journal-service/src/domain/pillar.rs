//! A pillar: an area of somebody's life, such as health or friends, what they measure it by, and what they aim at.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::{problem::FieldError, random};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{amount::Amount, entry::Revision};

/// The most pillars of one person, archived ones among them.
pub(crate) const PILLARS: usize = 200;
const NAME_CHARS: usize = 100;
const ICON_CHARS: usize = 32;
const UNIT_CHARS: usize = 32;

/// Names a pillar of one person; unique together with the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PillarId(Uuid);

impl PillarId {
    pub(crate) const fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for PillarId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A pillar as it came, unchecked, and as it is sealed. Personal text: no `Debug`. Fields that later versions add get a
/// default.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PillarDraft {
    pub(crate) name: String,
    /// `#` and six hexadecimal digits.
    pub(crate) color: Option<String>,
    pub(crate) icon: Option<String>,
    pub(crate) target: Option<Amount>,
    pub(crate) unit: Option<String>,
    pub(crate) archived: bool,
}

/// A pillar within the limits.
#[derive(PartialEq, Eq)]
pub(crate) struct PillarContent(PillarDraft);

impl PillarContent {
    /// The draft, or every part of it that breaks a limit. Text is kept exactly as it came.
    pub(crate) fn parse(draft: PillarDraft) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut check = |holds: bool, field: &str, message: &str| {
            if !holds {
                errors.push(FieldError::body(field, message));
            }
        };
        let fits = |text: &str, chars| (1..=chars).contains(&text.chars().count());
        check(
            fits(&draft.name, NAME_CHARS),
            "name",
            "is not 1 to 100 characters long",
        );
        check(
            draft.color.as_deref().is_none_or(is_color),
            "color",
            "is not # and six hexadecimal digits",
        );
        check(
            draft
                .icon
                .as_deref()
                .is_none_or(|icon| fits(icon, ICON_CHARS)),
            "icon",
            "is not 1 to 32 characters long",
        );
        check(
            draft
                .unit
                .as_deref()
                .is_none_or(|unit| fits(unit, UNIT_CHARS)),
            "unit",
            "is not 1 to 32 characters long",
        );
        if errors.is_empty() {
            Ok(Self(draft))
        } else {
            Err(errors)
        }
    }

    /// What was within the limits when it was sealed.
    pub(super) fn sealed_before(draft: PillarDraft) -> Self {
        Self(draft)
    }

    pub(crate) fn parts(&self) -> &PillarDraft {
        &self.0
    }

    pub(crate) fn into_parts(self) -> PillarDraft {
        self.0
    }
}

/// A pillar in the clear.
pub(crate) struct Pillar {
    pub(crate) id: PillarId,
    pub(crate) revision: Revision,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) content: PillarContent,
}

impl Pillar {
    /// A new one, in its first revision.
    pub(crate) fn new(content: PillarContent, now: OffsetDateTime) -> Self {
        Self {
            id: PillarId(random::uuid_v7(now)),
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
            content,
        }
    }

    /// The next revision, with other content.
    pub(crate) fn edited(&self, content: PillarContent, now: OffsetDateTime) -> Self {
        Self {
            id: self.id,
            revision: self.revision.next(),
            created_at: self.created_at,
            // A clock that was set back must not make an edit look older than what it replaces.
            updated_at: now.max(self.updated_at),
            content,
        }
    }
}

fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::domain) fn draft() -> PillarDraft {
        PillarDraft {
            name: "Health".to_owned(),
            color: Some("#3fA34d".to_owned()),
            icon: Some("🌱".to_owned()),
            target: Amount::of(8.0),
            unit: Some("hours".to_owned()),
            archived: false,
        }
    }

    #[test]
    fn every_broken_limit_is_named_at_once_and_everything_else_is_taken() {
        let long = |chars| Some("é".repeat(chars));
        let right = PillarDraft {
            name: "é".repeat(100),
            color: None,
            icon: long(32),
            unit: long(32),
            ..draft()
        };
        assert!(PillarContent::parse(right).is_ok());
        let wrong = PillarDraft {
            name: String::new(),
            color: Some("red".to_owned()),
            icon: long(33),
            unit: Some(String::new()),
            ..draft()
        };
        let errors = PillarContent::parse(wrong).err().unwrap_or_default();
        let pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
        assert_eq!(pointers, ["#/name", "#/color", "#/icon", "#/unit"]);
        for color in ["#12345", "#1234567", "123456", "#12345g", "#12345é"] {
            assert!(!is_color(color), "{color}");
        }
    }
}
