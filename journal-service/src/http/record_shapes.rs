//! Records as files and changes have them: what a person wrote, without what follows from other records.

use poem_openapi::{Object, types::Example};
use shared::problem::FieldError;
use time::{
    Date, OffsetDateTime,
    macros::{date, datetime},
};
use uuid::Uuid;

use super::pillars::amount;
use crate::domain::{
    amount::Amount,
    pillar::{self, PillarId},
    reflection::{self, Reflection},
    restored::{Restored, RestoredScore, Stamps},
    score,
    week::Week,
};

/// A pillar, without its place and without how it stands, which its order and its scores say.
#[derive(Object)]
#[oai(rename = "PillarRecord", example)]
pub(super) struct Pillar {
    id: Uuid,
    name: String,
    #[oai(skip_serializing_if_is_none)]
    color: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    icon: Option<String>,
    #[oai(
        skip_serializing_if_is_none,
        validator(minimum(value = "-1000000000"), maximum(value = "1000000000"))
    )]
    target: Option<f64>,
    #[oai(skip_serializing_if_is_none)]
    unit: Option<String>,
    #[oai(default)]
    archived: bool,
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for Pillar {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00a1),
            name: "Health".to_owned(),
            color: Some("#3fa34d".to_owned()),
            icon: Some("leaf".to_owned()),
            target: Some(8.0),
            unit: Some("hours".to_owned()),
            archived: false,
            revision: 1,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

impl From<pillar::Pillar> for Pillar {
    fn from(pillar: pillar::Pillar) -> Self {
        let content = pillar.content.into_parts();
        Self {
            id: pillar.id.uuid(),
            name: content.name,
            color: content.color,
            icon: content.icon,
            target: content.target.map(Amount::number),
            unit: content.unit,
            archived: content.archived,
            revision: pillar.revision.number(),
            created_at: pillar.created_at,
            updated_at: pillar.updated_at,
        }
    }
}

impl Pillar {
    pub(super) fn restored(self) -> Result<Restored, FieldError> {
        let target = self.target.map(|number| amount("target", number));
        let draft = pillar::PillarDraft {
            name: self.name,
            color: self.color,
            icon: self.icon,
            target: target.transpose()?,
            unit: self.unit,
            archived: self.archived,
        };
        let stamps = Stamps {
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Ok(Restored::Pillar(self.id, stamps, draft))
    }
}

/// How a pillar stood on a day.
#[derive(Object)]
#[oai(rename = "ScoreRecord", example)]
pub(super) struct Score {
    id: Uuid,
    pillar_id: Uuid,
    #[oai(validator(minimum(value = "-1000000000"), maximum(value = "1000000000")))]
    value: f64,
    date: Date,
    #[oai(skip_serializing_if_is_none)]
    note: Option<String>,
    created_at: OffsetDateTime,
}

impl Example for Score {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00b1),
            pillar_id: Pillar::example().id,
            value: 7.5,
            date: date!(2026 - 11 - 24),
            note: Some("Slept well.".to_owned()),
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

impl From<score::Score> for Score {
    fn from(score: score::Score) -> Self {
        Self {
            id: score.id.uuid(),
            pillar_id: score.pillar.uuid(),
            value: score.value.number(),
            date: score.date,
            note: score.note,
            created_at: score.created_at,
        }
    }
}

impl Score {
    pub(super) fn restored(self) -> Result<Restored, FieldError> {
        let draft = score::ScoreDraft {
            date: self.date,
            value: amount("value", self.value)?,
            note: self.note,
        };
        Ok(Restored::Score(RestoredScore {
            id: self.id,
            pillar: PillarId::new(self.pillar_id),
            created_at: self.created_at,
            draft,
        }))
    }
}

/// What was said of a week.
#[derive(Object)]
#[oai(rename = "WeekNoteRecord", example)]
pub(super) struct WeekNote {
    /// As ISO 8601 writes it.
    week: String,
    note: String,
    #[oai(validator(minimum(value = "1"), maximum(value = "9007199254740991")))]
    revision: i64,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Example for WeekNote {
    fn example() -> Self {
        Self {
            week: "2026-W48".to_owned(),
            note: "Less screen, more river.".to_owned(),
            revision: 1,
            created_at: datetime!(2026-11-29 21:04:05.123456 UTC),
            updated_at: datetime!(2026-11-29 21:04:05.123456 UTC),
        }
    }
}

impl From<Reflection<reflection::WeekNote>> for WeekNote {
    fn from(note: Reflection<reflection::WeekNote>) -> Self {
        Self {
            week: Week::beginning(note.date).name(),
            note: note.content.note,
            revision: note.revision.number(),
            created_at: note.created_at,
            updated_at: note.updated_at,
        }
    }
}

impl WeekNote {
    pub(super) fn restored(self) -> Result<Restored, FieldError> {
        let wrong = "is not a week such as 2026-W48 of a year that has it";
        let week = Week::parse(&self.week).map_err(|_| FieldError::body("week", wrong))?;
        let stamps = Stamps {
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        let content = reflection::WeekNote { note: self.note };
        Ok(Restored::WeekNote(week.monday(), stamps, content))
    }
}
