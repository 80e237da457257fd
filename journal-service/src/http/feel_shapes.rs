//! Feels as they go over the wire.

use poem_openapi::{Object, types::Example};
use time::{
    Date, OffsetDateTime,
    macros::{date, datetime},
};

use crate::{
    domain::{
        reflection::{self, Reflection},
        restored::{Restored, Stamps},
    },
    reflections::list::Feels,
};

/// How a day began, as it is written: all of it, every time.
#[derive(Object)]
#[oai(example)]
pub(super) struct MorningDraft {
    /// 1 to 10.
    #[oai(validator(minimum(value = "1"), maximum(value = "10")))]
    mental_state: Option<u8>,
    /// At most 500 characters.
    #[oai(validator(max_length = 500))]
    strongest_emotion: Option<String>,
    /// What the person is avoiding; at most 500 characters.
    #[oai(validator(max_length = 500))]
    avoiding: Option<String>,
    /// At most 5,000 characters.
    #[oai(validator(max_length = 5000))]
    note: Option<String>,
}

impl Example for MorningDraft {
    fn example() -> Self {
        Self {
            mental_state: Some(7),
            strongest_emotion: Some("calm".to_owned()),
            avoiding: Some("the letter to the landlord".to_owned()),
            note: Some("Slept well.".to_owned()),
        }
    }
}

/// How a day ended, as it is written: all of it, every time.
#[derive(Object)]
#[oai(example)]
pub(super) struct EveningDraft {
    /// What gave energy; at most 500 characters.
    #[oai(validator(max_length = 500))]
    energy_gave: Option<String>,
    /// What took it; at most 500 characters.
    #[oai(validator(max_length = 500))]
    energy_drained: Option<String>,
    /// What drove the day, in the person's words; at most 500 characters.
    #[oai(validator(max_length = 500))]
    pressure_or_purpose: Option<String>,
    /// At most 5,000 characters.
    #[oai(validator(max_length = 5000))]
    note: Option<String>,
}

impl Example for EveningDraft {
    fn example() -> Self {
        Self {
            energy_gave: Some("the walk".to_owned()),
            energy_drained: Some("three meetings".to_owned()),
            pressure_or_purpose: Some("purpose, mostly".to_owned()),
            note: None,
        }
    }
}

/// How a day began. What the person left out is left out.
#[derive(Object)]
#[oai(example)]
pub(super) struct Morning {
    date: Date,
    #[oai(skip_serializing_if_is_none)]
    mental_state: Option<u8>,
    #[oai(skip_serializing_if_is_none)]
    strongest_emotion: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    avoiding: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    note: Option<String>,
    /// Counts the edits, from 1. The header `ETag` is this number in quotes.
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for Morning {
    fn example() -> Self {
        let draft = MorningDraft::example();
        Self {
            date: date!(2026 - 11 - 24),
            mental_state: draft.mental_state,
            strongest_emotion: draft.strongest_emotion,
            avoiding: draft.avoiding,
            note: draft.note,
            revision: 1,
            created_at: datetime!(2026-11-24 07:04:05.123456 UTC),
            updated_at: datetime!(2026-11-24 07:04:05.123456 UTC),
        }
    }
}

/// How a day ended. What the person left out is left out.
#[derive(Object)]
#[oai(example)]
pub(super) struct Evening {
    date: Date,
    #[oai(skip_serializing_if_is_none)]
    energy_gave: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    energy_drained: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    pressure_or_purpose: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    note: Option<String>,
    /// Counts the edits, from 1. The header `ETag` is this number in quotes.
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for Evening {
    fn example() -> Self {
        let draft = EveningDraft::example();
        Self {
            date: date!(2026 - 11 - 24),
            energy_gave: draft.energy_gave,
            energy_drained: draft.energy_drained,
            pressure_or_purpose: draft.pressure_or_purpose,
            note: draft.note,
            revision: 1,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

/// A day on which something was written.
#[derive(Object)]
#[oai(example)]
struct FeelDay {
    date: Date,
    #[oai(skip_serializing_if_is_none)]
    morning: Option<Morning>,
    #[oai(skip_serializing_if_is_none)]
    evening: Option<Evening>,
}

impl Example for FeelDay {
    fn example() -> Self {
        Self {
            date: date!(2026 - 11 - 24),
            morning: Some(Morning::example()),
            evening: Some(Evening::example()),
        }
    }
}

/// Days, the newest first.
#[derive(Object)]
#[oai(example)]
pub(super) struct FeelPage {
    days: Vec<FeelDay>,
    /// What belongs on this page and cannot be shown, because its stored form was changed. Usually empty.
    unreadable: Vec<UnreadableFeel>,
    /// Send it as `after` for the next page; left out on the last one.
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

impl Example for FeelPage {
    fn example() -> Self {
        Self {
            days: vec![FeelDay::example()],
            unreadable: Vec::new(),
            next: None,
        }
    }
}

/// What is known of a feel that does not open. It can be deleted.
#[derive(Object)]
struct UnreadableFeel {
    date: Date,
    /// `morning` or `evening`.
    part: String,
    revision: i64,
}

impl From<MorningDraft> for reflection::Morning {
    fn from(draft: MorningDraft) -> Self {
        Self {
            mental_state: draft.mental_state,
            strongest_emotion: draft.strongest_emotion,
            avoiding: draft.avoiding,
            note: draft.note,
        }
    }
}

impl From<EveningDraft> for reflection::Evening {
    fn from(draft: EveningDraft) -> Self {
        Self {
            energy_gave: draft.energy_gave,
            energy_drained: draft.energy_drained,
            pressure_or_purpose: draft.pressure_or_purpose,
            note: draft.note,
        }
    }
}

impl From<Reflection<reflection::Morning>> for Morning {
    fn from(feel: Reflection<reflection::Morning>) -> Self {
        Self {
            date: feel.date,
            mental_state: feel.content.mental_state,
            strongest_emotion: feel.content.strongest_emotion,
            avoiding: feel.content.avoiding,
            note: feel.content.note,
            revision: feel.revision.number(),
            created_at: feel.created_at,
            updated_at: feel.updated_at,
        }
    }
}

impl From<Reflection<reflection::Evening>> for Evening {
    fn from(feel: Reflection<reflection::Evening>) -> Self {
        Self {
            date: feel.date,
            energy_gave: feel.content.energy_gave,
            energy_drained: feel.content.energy_drained,
            pressure_or_purpose: feel.content.pressure_or_purpose,
            note: feel.content.note,
            revision: feel.revision.number(),
            created_at: feel.created_at,
            updated_at: feel.updated_at,
        }
    }
}

impl Morning {
    /// What it says, to be checked.
    pub(super) fn restored(self) -> Restored {
        let stamps = Stamps {
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        let content = reflection::Morning {
            mental_state: self.mental_state,
            strongest_emotion: self.strongest_emotion,
            avoiding: self.avoiding,
            note: self.note,
        };
        Restored::Morning(self.date, stamps, content)
    }
}

impl Evening {
    /// What it says, to be checked.
    pub(super) fn restored(self) -> Restored {
        let stamps = Stamps {
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        let content = reflection::Evening {
            energy_gave: self.energy_gave,
            energy_drained: self.energy_drained,
            pressure_or_purpose: self.pressure_or_purpose,
            note: self.note,
        };
        Restored::Evening(self.date, stamps, content)
    }
}

impl From<Feels> for FeelPage {
    fn from(feels: Feels) -> Self {
        let days = feels.days.into_iter().map(|day| FeelDay {
            date: day.date,
            morning: day.morning.map(Morning::from),
            evening: day.evening.map(Evening::from),
        });
        let unreadable = feels.unreadable.into_iter();
        let unreadable = unreadable.map(|(slot, revision)| UnreadableFeel {
            date: slot.date,
            part: slot.kind.name().to_owned(),
            revision: revision.number(),
        });
        Self {
            days: days.collect(),
            unreadable: unreadable.collect(),
            next: feels.next,
        }
    }
}
