//! Weeks as they go over the wire.

use poem_openapi::{Object, types::Example};
use time::{
    Date, OffsetDateTime,
    macros::{date, datetime},
};
use uuid::Uuid;

use crate::domain::{
    amount::Amount,
    recap::{self, Recap},
    reflection::{self, Reflection},
};

/// What a person says of a week, as it is written.
#[derive(Object)]
#[oai(example)]
pub(super) struct WeekNoteDraft {
    /// At most 5,000 characters; may be empty.
    #[oai(validator(max_length = 5000))]
    pub(super) note: String,
}

impl Example for WeekNoteDraft {
    fn example() -> Self {
        Self {
            note: "Less screen, more river.".to_owned(),
        }
    }
}

/// What a person says of a week.
#[derive(Object)]
#[oai(example)]
pub(super) struct WeekNote {
    note: String,
    /// Counts the edits, from 1. The header `ETag` is this number in quotes.
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for WeekNote {
    fn example() -> Self {
        Self {
            note: WeekNoteDraft::example().note,
            revision: 1,
            created_at: datetime!(2026-11-29 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-29 21:04:05.123456 UTC),
        }
    }
}

/// Numbers of a scale from 1 to 10.
#[derive(Object)]
#[oai(example)]
struct Scale {
    /// How many there are.
    number: u32,
    /// To two decimals; left out, as the others, when there are none.
    #[oai(skip_serializing_if_is_none)]
    average: Option<f64>,
    #[oai(skip_serializing_if_is_none)]
    lowest: Option<u8>,
    #[oai(skip_serializing_if_is_none)]
    highest: Option<u8>,
}

impl Example for Scale {
    fn example() -> Self {
        Self {
            number: 3,
            average: Some(6.33),
            lowest: Some(4),
            highest: Some(8),
        }
    }
}

/// One day of a week.
#[derive(Object)]
#[oai(example)]
struct RecapDay {
    date: Date,
    entries: u32,
    /// How many of them the person is done with.
    completed: u32,
    moods: Scale,
    /// Whether it is written how the day began.
    morning: bool,
    /// Whether it is written how the day ended.
    evening: bool,
}

impl Example for RecapDay {
    fn example() -> Self {
        Self {
            date: date!(2026 - 11 - 24),
            entries: 3,
            completed: 2,
            moods: Scale::example(),
            morning: true,
            evening: false,
        }
    }
}

/// How a pillar went in a week.
#[derive(Object)]
#[oai(example)]
struct PillarCourse {
    pillar_id: Uuid,
    /// Scores of this week; a pillar without any is left out.
    scores: u32,
    /// The value of the first one: of the earliest day, and of several of that day the one that was written first.
    first: f64,
    /// The value of the last one.
    last: f64,
    /// From the first to the last.
    change: f64,
}

impl Example for PillarCourse {
    fn example() -> Self {
        Self {
            pillar_id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00a1),
            scores: 2,
            first: 7.0,
            last: 7.5,
            change: 0.5,
        }
    }
}

/// How often a tag was used in a week.
#[derive(Object)]
#[oai(example)]
struct TagCount {
    tag: String,
    entries: u32,
}

impl Example for TagCount {
    fn example() -> Self {
        Self {
            tag: "outside".to_owned(),
            entries: 3,
        }
    }
}

/// A week at a glance.
#[derive(Object)]
#[oai(example)]
pub(super) struct WeeklyRecap {
    /// As ISO 8601 names it.
    iso_week: String,
    /// Its Monday.
    from: Date,
    /// Its Sunday.
    to: Date,
    entries: u32,
    /// How many of them the person is done with.
    completed: u32,
    /// Days with an entry or a feel.
    written_days: u32,
    /// Days in a row with an entry or a feel, of which the last one is the last one of this week; 366 at most.
    streak: u32,
    /// Of entries.
    moods: Scale,
    /// Of mornings.
    mental_states: Scale,
    /// All days of the week, from Monday.
    days: Vec<RecapDay>,
    /// Those with a score in this week, the oldest pillar first.
    pillars: Vec<PillarCourse>,
    /// The 50 that were used most.
    tags: Vec<TagCount>,
    /// How many records of this week are left out, because their stored form was changed. Usually 0.
    unreadable: u32,
    /// What the person says of it; left out when they have not said anything.
    #[oai(skip_serializing_if_is_none)]
    note: Option<WeekNote>,
}

impl Example for WeeklyRecap {
    fn example() -> Self {
        Self {
            iso_week: "2026-W48".to_owned(),
            from: date!(2026 - 11 - 23),
            to: date!(2026 - 11 - 29),
            entries: 3,
            completed: 2,
            written_days: 1,
            streak: 1,
            moods: Scale::example(),
            mental_states: Scale::example(),
            days: vec![RecapDay::example()],
            pillars: vec![PillarCourse::example()],
            tags: vec![TagCount::example()],
            unreadable: 0,
            note: Some(WeekNote::example()),
        }
    }
}

impl From<Reflection<reflection::WeekNote>> for WeekNote {
    fn from(note: Reflection<reflection::WeekNote>) -> Self {
        Self {
            note: note.content.note,
            revision: note.revision.number(),
            created_at: note.created_at,
            updated_at: note.updated_at,
        }
    }
}

impl From<recap::Scale> for Scale {
    fn from(scale: recap::Scale) -> Self {
        Self {
            number: scale.number,
            average: scale.average(),
            lowest: scale.lowest(),
            highest: scale.highest(),
        }
    }
}

impl From<&recap::Day> for RecapDay {
    fn from(day: &recap::Day) -> Self {
        Self {
            date: day.date,
            entries: day.entries,
            completed: day.completed,
            moods: day.moods.into(),
            morning: day.has_morning,
            evening: day.has_evening,
        }
    }
}

impl From<Recap> for WeeklyRecap {
    fn from(recap: Recap) -> Self {
        let pillars = recap.pillars.iter().map(|(id, course)| PillarCourse {
            pillar_id: id.uuid(),
            scores: course.number,
            first: course.first.number(),
            last: course.last.number(),
            change: Amount::since(course.last, course.first).number(),
        });
        let tags = recap.tags().into_iter();
        let tags = tags.map(|(tag, entries)| TagCount {
            tag: tag.to_owned(),
            entries,
        });
        Self {
            iso_week: recap.week.name(),
            from: recap.week.monday(),
            to: recap.week.sunday(),
            entries: recap.entries(),
            completed: recap.completed(),
            written_days: recap.written_days,
            streak: recap.streak,
            moods: recap.moods.into(),
            mental_states: recap.mental_states.into(),
            days: recap.days.iter().map(RecapDay::from).collect(),
            pillars: pillars.collect(),
            tags: tags.collect(),
            unreadable: recap.unreadable,
            note: recap.note.map(WeekNote::from),
        }
    }
}
