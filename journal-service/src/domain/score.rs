//! How a pillar stood on a day, in the clear and as it lies in the database.

use serde::{Deserialize, Serialize};
use shared::{
    envelope::{DataKey, RecordContext},
    problem::FieldError,
    random,
    user_id::UserId,
};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{
    amount::Amount,
    content::YEARS,
    entry::Revision,
    pillar::PillarId,
    sealed_entry::{OWNER, Unopened},
    sealed_json::{self, micros},
};

const NOTE_CHARS: usize = 1_000;

/// Names a score of one person; unique together with the person. Ids sort by the time of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScoreId(Uuid);

impl ScoreId {
    pub(crate) const fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }
}

/// A score as it came, unchecked. Personal: no `Debug`.
pub(crate) struct ScoreDraft {
    pub(crate) date: Date,
    pub(crate) value: Amount,
    pub(crate) note: Option<String>,
}

/// A score.
pub(crate) struct Score {
    pub(crate) id: ScoreId,
    pub(crate) pillar: PillarId,
    pub(crate) date: Date,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) value: Amount,
    pub(crate) note: Option<String>,
}

impl Score {
    /// A new one, or every part of the draft that breaks a limit.
    pub(crate) fn new(
        pillar: PillarId,
        draft: ScoreDraft,
        now: OffsetDateTime,
    ) -> Result<Self, Vec<FieldError>> {
        Self::written(ScoreId(random::uuid_v7(now)), pillar, draft, now)
    }

    /// What it says.
    pub(super) fn says(&self) -> (PillarId, Date, Amount, Option<&str>) {
        (self.pillar, self.date, self.value, self.note.as_deref())
    }

    /// One that was written then, or every part of the draft that breaks a limit.
    pub(super) fn written(
        id: ScoreId,
        pillar: PillarId,
        draft: ScoreDraft,
        created_at: OffsetDateTime,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !YEARS.contains(&draft.date.year()) {
            let message = "is not a day from 0001-01-01 to 9999-12-31";
            errors.push(FieldError::body("date", message));
        }
        let note = draft.note.as_deref().unwrap_or_default();
        if note.chars().count() > NOTE_CHARS {
            errors.push(FieldError::body("note", "is longer than 1000 characters"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            id,
            pillar,
            date: draft.date,
            created_at,
            value: draft.value,
            note: draft.note,
        })
    }
}

/// A row of `pillar_scores`.
pub(crate) struct SealedScore {
    pub(crate) id: ScoreId,
    pub(crate) pillar: PillarId,
    pub(crate) date: Date,
    /// `None` when the stored one is none that a clock shows.
    pub(crate) created_at: Option<OffsetDateTime>,
    pub(crate) content: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// Again, because the place names only the score: a score cannot be moved to another pillar.
    pillar: PillarId,
    value: Amount,
    note: Option<String>,
}

impl SealedScore {
    pub(crate) fn seal(score: &Score, user: UserId, key: &DataKey) -> Self {
        let content = Content {
            pillar: score.pillar,
            value: score.value,
            note: score.note.clone(),
        };
        let clear = clear(score.date, score.created_at);
        Self {
            id: score.id,
            pillar: score.pillar,
            date: score.date,
            created_at: Some(score.created_at),
            content: sealed_json::seal(key, &place(user, score.id), &clear, &content),
        }
    }

    pub(crate) fn open(&self, user: UserId, key: &DataKey) -> Result<Score, Unopened> {
        let created_at = self.created_at.ok_or(Unopened::Moved)?;
        let clear = clear(self.date, created_at);
        let content: Content =
            sealed_json::open(key, &place(user, self.id), Some(&clear), &self.content)?;
        if content.pillar != self.pillar {
            return Err(Unopened::Moved);
        }
        Ok(Score {
            id: self.id,
            pillar: self.pillar,
            date: self.date,
            created_at,
            value: content.value,
            note: content.note,
        })
    }
}

fn clear(date: Date, created_at: OffsetDateTime) -> [i64; 2] {
    [i64::from(date.to_julian_day()), micros(created_at)]
}

fn place(user: UserId, id: ScoreId) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "score",
        field: "content",
        record_id: id.uuid(),
        // Scores are not edited.
        revision: Revision::FIRST.counted(),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn person(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    fn pillar(number: u128) -> PillarId {
        PillarId::new(Uuid::from_u128(number))
    }

    fn sealed(value: f64, note: Option<&str>, key: &DataKey) -> SealedScore {
        let draft = ScoreDraft {
            date: date!(2026 - 11 - 24),
            value: Amount::of(value).expect("a number"),
            note: note.map(str::to_owned),
        };
        let score = Score::new(pillar(7), draft, NOW).expect("right");
        SealedScore::seal(&score, person(1), key)
    }

    #[test]
    fn it_opens_for_its_person_pillar_id_day_and_time_alone() {
        let key = DataKey::generate(1);
        let row = || sealed(7.5, Some("slept"), &key);
        let opened = row().open(person(1), &key).expect("it opens");
        assert_eq!((opened.value.number(), opened.pillar), (7.5, pillar(7)));
        assert!(row().open(person(2), &key).is_err());
        for moved in [
            SealedScore {
                pillar: pillar(8),
                ..row()
            },
            SealedScore {
                id: ScoreId::new(Uuid::from_u128(1)),
                ..row()
            },
            SealedScore {
                date: date!(2026 - 11 - 25),
                ..row()
            },
            SealedScore {
                created_at: None,
                ..row()
            },
            SealedScore {
                created_at: Some(datetime!(2026-11-24 08:01 UTC)),
                ..row()
            },
        ] {
            assert!(moved.open(person(1), &key).is_err());
        }
    }

    #[test]
    fn a_value_or_a_short_note_does_not_show_in_the_size() {
        let key = DataKey::generate(1);
        let size = |value, note| sealed(value, note, &key).content.len();
        let usual = size(1.0, None);
        assert_eq!(size(10.0, None), usual);
        assert_eq!(size(-1e9, Some("a short note")), usual);
    }
}
