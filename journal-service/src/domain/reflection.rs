//! What a person writes once for a day (a feel: how it began, how it ended) or once for a week.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shared::problem::FieldError;
use time::{Date, OffsetDateTime};

use super::{content::YEARS, entry::Revision};

/// The longest answer to a question, in characters.
const ANSWER_CHARS: usize = 500;
/// The longest note, in characters.
const NOTE_CHARS: usize = 5_000;
const STATES: std::ops::RangeInclusive<u8> = 1..=10;

/// Which of a day's or week's reflections it is. A closed set: its name is part of what the ciphertext is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Morning,
    Evening,
    /// Of the week whose Monday the day is.
    Week,
}

impl Kind {
    /// As the database has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Morning => "morning",
            Self::Evening => "evening",
            Self::Week => "week",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Morning, Self::Evening, Self::Week];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// One for each person, day and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) date: Date,
}

impl Slot {
    /// Of a day that a reflection may be about.
    pub(crate) fn of(kind: Kind, date: Date) -> Result<Self, FieldError> {
        if YEARS.contains(&date.year()) {
            return Ok(Self { kind, date });
        }
        let wrong = "is not a day from 0001-01-01 to 9999-12-31";
        Err(FieldError::new("path:date", wrong))
    }
}

/// How a day began. Personal text: no `Debug`. Fields that later versions add get a default.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Morning {
    pub(crate) mental_state: Option<u8>,
    pub(crate) strongest_emotion: Option<String>,
    pub(crate) avoiding: Option<String>,
    pub(crate) note: Option<String>,
}

/// How a day ended.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evening {
    pub(crate) energy_gave: Option<String>,
    pub(crate) energy_drained: Option<String>,
    pub(crate) pressure_or_purpose: Option<String>,
    pub(crate) note: Option<String>,
}

/// What is to be said of a week.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WeekNote {
    pub(crate) note: String,
}

/// What a reflection says.
pub(crate) trait Written: PartialEq + Serialize + DeserializeOwned {
    const KIND: Kind;

    /// Every part of it that breaks a limit. Text is kept exactly as it came.
    fn errors(&self) -> Vec<FieldError>;

    /// How many bytes of text it has.
    fn text_bytes(&self) -> usize;
}

impl Written for Morning {
    const KIND: Kind = Kind::Morning;

    fn errors(&self) -> Vec<FieldError> {
        let mut errors = too_long(&[
            (
                "strongest_emotion",
                self.strongest_emotion.as_deref(),
                ANSWER_CHARS,
            ),
            ("avoiding", self.avoiding.as_deref(), ANSWER_CHARS),
            ("note", self.note.as_deref(), NOTE_CHARS),
        ]);
        if self
            .mental_state
            .is_some_and(|state| !STATES.contains(&state))
        {
            errors.push(FieldError::body(
                "mental_state",
                "is not a number from 1 to 10",
            ));
        }
        errors
    }

    fn text_bytes(&self) -> usize {
        bytes([&self.strongest_emotion, &self.avoiding, &self.note])
    }
}

impl Written for Evening {
    const KIND: Kind = Kind::Evening;

    fn errors(&self) -> Vec<FieldError> {
        too_long(&[
            ("energy_gave", self.energy_gave.as_deref(), ANSWER_CHARS),
            (
                "energy_drained",
                self.energy_drained.as_deref(),
                ANSWER_CHARS,
            ),
            (
                "pressure_or_purpose",
                self.pressure_or_purpose.as_deref(),
                ANSWER_CHARS,
            ),
            ("note", self.note.as_deref(), NOTE_CHARS),
        ])
    }

    fn text_bytes(&self) -> usize {
        bytes([
            &self.energy_gave,
            &self.energy_drained,
            &self.pressure_or_purpose,
            &self.note,
        ])
    }
}

impl Written for WeekNote {
    const KIND: Kind = Kind::Week;

    fn errors(&self) -> Vec<FieldError> {
        too_long(&[("note", Some(self.note.as_str()), NOTE_CHARS)])
    }

    fn text_bytes(&self) -> usize {
        self.note.len()
    }
}

fn bytes<const N: usize>(texts: [&Option<String>; N]) -> usize {
    texts.into_iter().flatten().map(String::len).sum()
}

fn too_long(texts: &[(&str, Option<&str>, usize)]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, text, chars) in texts {
        if text.is_some_and(|text| text.chars().count() > *chars) {
            let message = format!("is longer than {chars} characters");
            errors.push(FieldError::body(field, message));
        }
    }
    errors
}

/// A reflection in the clear.
pub(crate) struct Reflection<C> {
    pub(crate) date: Date,
    pub(crate) revision: Revision,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) content: C,
}

impl<C: Written> Reflection<C> {
    /// A new one, in its first revision.
    pub(crate) fn new(date: Date, content: C, now: OffsetDateTime) -> Self {
        Self {
            date,
            revision: Revision::FIRST,
            created_at: now,
            updated_at: now,
            content,
        }
    }

    /// The next revision, with other content.
    pub(crate) fn edited(&self, content: C, now: OffsetDateTime) -> Self {
        Self {
            date: self.date,
            revision: self.revision.next(),
            created_at: self.created_at,
            // A clock that was set back must not make an edit look older than what it replaces.
            updated_at: now.max(self.updated_at),
            content,
        }
    }

    pub(crate) fn slot(&self) -> Slot {
        Slot {
            kind: C::KIND,
            date: self.date,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_limit_is_named() {
        let long = |chars: usize| Some("é".repeat(chars));
        let pointers = |errors: Vec<FieldError>| {
            let pointers = errors.into_iter().map(|error| error.pointer);
            pointers.collect::<Vec<_>>()
        };
        let morning = |state, chars, note| Morning {
            mental_state: Some(state),
            strongest_emotion: long(chars),
            avoiding: long(chars),
            note: long(note),
        };
        assert_eq!(
            pointers(morning(10, 500, 5_000).errors()),
            Vec::<String>::new()
        );
        assert_eq!(
            pointers(morning(11, 501, 5_001).errors()),
            [
                "#/strongest_emotion",
                "#/avoiding",
                "#/note",
                "#/mental_state"
            ]
        );
        let evening = Evening {
            energy_gave: long(501),
            energy_drained: long(501),
            pressure_or_purpose: long(501),
            note: long(5_001),
        };
        assert_eq!(
            pointers(evening.errors()),
            [
                "#/energy_gave",
                "#/energy_drained",
                "#/pressure_or_purpose",
                "#/note"
            ]
        );
        let week = WeekNote {
            note: "é".repeat(5_001),
        };
        assert_eq!(pointers(week.errors()), ["#/note"]);
    }
}
