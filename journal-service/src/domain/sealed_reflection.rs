//! A reflection as it lies in the database.

use shared::{
    envelope::{DataKey, RecordContext},
    user_id::UserId,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entry::Revision,
    reflection::{Reflection, Slot, Written},
    sealed_entry::{OWNER, Unopened},
    sealed_json::{self, micros},
};

/// A row of `reflections`.
pub(crate) struct SealedReflection {
    pub(crate) slot: Slot,
    pub(crate) revision: Revision,
    /// `None` when the stored one is none that a clock shows.
    pub(crate) created_at: Option<OffsetDateTime>,
    /// As `created_at`.
    pub(crate) updated_at: Option<OffsetDateTime>,
    pub(crate) content: Vec<u8>,
}

impl SealedReflection {
    pub(crate) fn seal<C: Written>(
        reflection: &Reflection<C>,
        user: UserId,
        key: &DataKey,
    ) -> Self {
        let (slot, revision) = (reflection.slot(), reflection.revision);
        let clear = clear(slot, reflection.created_at, reflection.updated_at);
        Self {
            slot,
            revision,
            created_at: Some(reflection.created_at),
            updated_at: Some(reflection.updated_at),
            content: sealed_json::seal(
                key,
                &place(user, slot, revision),
                &clear,
                &reflection.content,
            ),
        }
    }

    /// What was sealed for this person, day, kind and revision. A row of another kind than the content's opens to nothing.
    pub(crate) fn open<C: Written>(
        &self,
        user: UserId,
        key: &DataKey,
    ) -> Result<Reflection<C>, Unopened> {
        let times = self.created_at.zip(self.updated_at);
        let (created_at, updated_at) = times.ok_or(Unopened::Moved)?;
        let clear = clear(self.slot, created_at, updated_at);
        let slot = Slot {
            kind: C::KIND,
            ..self.slot
        };
        let place = place(user, slot, self.revision);
        Ok(Reflection {
            date: self.slot.date,
            revision: self.revision,
            created_at,
            updated_at,
            content: sealed_json::open(key, &place, Some(&clear), &self.content)?,
        })
    }
}

fn clear(slot: Slot, created_at: OffsetDateTime, updated_at: OffsetDateTime) -> [i64; 3] {
    let day = i64::from(slot.date.to_julian_day());
    [day, micros(created_at), micros(updated_at)]
}

fn place(user: UserId, slot: Slot, revision: Revision) -> RecordContext {
    let day = slot.date.to_julian_day().unsigned_abs();
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "reflection",
        field: slot.kind.name(),
        // There is one for each day, so its number is its id.
        record_id: Uuid::from_u128(u128::from(day)),
        revision: revision.counted(),
    }
}

#[cfg(test)]
mod tests {
    use time::{
        Date,
        macros::{date, datetime},
    };

    use super::super::reflection::{Evening, Kind, Morning, WeekNote};
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
    const DAY: Date = date!(2026 - 11 - 24);

    fn person(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    fn morning(mental_state: u8, note: &str) -> Morning {
        Morning {
            mental_state: Some(mental_state),
            strongest_emotion: Some("calm".to_owned()),
            avoiding: None,
            note: Some(note.to_owned()),
        }
    }

    fn sealed(content: impl Written, key: &DataKey) -> SealedReflection {
        SealedReflection::seal(&Reflection::new(DAY, content, NOW), person(1), key)
    }

    #[test]
    fn it_opens_for_its_person_day_kind_revision_and_times_alone() {
        let key = DataKey::generate(1);
        let row = || sealed(morning(7, "slept"), &key);
        let opened = row().open::<Morning>(person(1), &key);
        let opened = opened.expect("it opens");
        assert!(opened.content == morning(7, "slept"));
        assert!(row().open::<Morning>(person(2), &key).is_err());
        assert!(row().open::<Evening>(person(1), &key).is_err());
        assert!(row().open::<WeekNote>(person(1), &key).is_err());
        for moved in [
            SealedReflection {
                slot: Slot {
                    kind: Kind::Morning,
                    date: date!(2026 - 11 - 25),
                },
                ..row()
            },
            SealedReflection {
                revision: Revision::FIRST.next(),
                ..row()
            },
            SealedReflection {
                created_at: None,
                ..row()
            },
            SealedReflection {
                updated_at: Some(datetime!(2026-11-24 08:01 UTC)),
                ..row()
            },
        ] {
            assert!(moved.open::<Morning>(person(1), &key).is_err());
        }
    }

    #[test]
    fn a_state_or_a_short_answer_does_not_show_in_the_size() {
        let key = DataKey::generate(1);
        let size = |content: Morning| sealed(content, &key).content.len();
        let usual = size(morning(1, ""));
        assert_eq!(size(morning(10, "slept well")), usual);
        let nothing = Morning {
            mental_state: None,
            strongest_emotion: None,
            avoiding: None,
            note: None,
        };
        assert_eq!(size(nothing), usual);
    }
}
