//! A pillar as it lies in the database.

use shared::{
    envelope::{DataKey, RecordContext},
    user_id::UserId,
};
use time::OffsetDateTime;

use super::{
    entry::Revision,
    pillar::{Pillar, PillarContent, PillarId},
    sealed_entry::{OWNER, Unopened},
    sealed_json::{self, micros},
};

/// A row of `pillars`. Nothing in it tells what was written.
pub(crate) struct SealedPillar {
    pub(crate) id: PillarId,
    pub(crate) revision: Revision,
    /// `None` when the stored one is none that a clock shows, and so none that this service wrote.
    pub(crate) created_at: Option<OffsetDateTime>,
    /// As `created_at`.
    pub(crate) updated_at: Option<OffsetDateTime>,
    pub(crate) content: Vec<u8>,
}

impl SealedPillar {
    /// Seals a pillar under the person's data key.
    pub(crate) fn seal(pillar: &Pillar, user: UserId, key: &DataKey) -> Self {
        let clear = [micros(pillar.created_at), micros(pillar.updated_at)];
        let place = place(user, pillar.id, pillar.revision);
        Self {
            id: pillar.id,
            revision: pillar.revision,
            created_at: Some(pillar.created_at),
            updated_at: Some(pillar.updated_at),
            content: sealed_json::seal(key, &place, &clear, pillar.content.parts()),
        }
    }

    /// The pillar, when it is the one that was sealed for this person, id and revision.
    pub(crate) fn open(&self, user: UserId, key: &DataKey) -> Result<Pillar, Unopened> {
        let times = self.created_at.zip(self.updated_at);
        let (created_at, updated_at) = times.ok_or(Unopened::Moved)?;
        let clear = [micros(created_at), micros(updated_at)];
        let place = place(user, self.id, self.revision);
        let content = sealed_json::open(key, &place, Some(&clear), &self.content)?;
        Ok(Pillar {
            id: self.id,
            revision: self.revision,
            created_at,
            updated_at,
            content: PillarContent::sealed_before(content),
        })
    }
}

fn place(user: UserId, id: PillarId, revision: Revision) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "pillar",
        field: "content",
        record_id: id.uuid(),
        revision: revision.counted(),
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};
    use uuid::Uuid;

    use super::super::{
        amount::Amount,
        pillar::{PillarDraft, tests::draft},
    };
    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn person(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    fn sealed(draft: PillarDraft, key: &DataKey) -> SealedPillar {
        let content = PillarContent::parse(draft).expect("within the limits");
        SealedPillar::seal(&Pillar::new(content, NOW), person(1), key)
    }

    #[test]
    fn it_opens_for_its_person_id_revision_and_times_alone() {
        let key = DataKey::generate(1);
        let row = || sealed(draft(), &key);
        let opened = row().open(person(1), &key).expect("it opens");
        assert!(*opened.content.parts() == draft());
        assert!(row().open(person(2), &key).is_err());
        assert!(row().open(person(1), &DataKey::generate(1)).is_err());
        let later = Some(NOW + Duration::microseconds(1));
        for moved in [
            SealedPillar {
                id: PillarId::new(Uuid::from_u128(9)),
                ..row()
            },
            SealedPillar {
                revision: Revision::FIRST.next(),
                ..row()
            },
            SealedPillar {
                created_at: later,
                ..row()
            },
            SealedPillar {
                updated_at: later,
                ..row()
            },
            SealedPillar {
                updated_at: None,
                ..row()
            },
        ] {
            assert!(moved.open(person(1), &key).is_err());
        }
    }

    #[test]
    fn names_colours_targets_and_archiving_do_not_show_in_the_size() {
        let key = DataKey::generate(1);
        let size = |draft| sealed(draft, &key).content.len();
        for other in [
            PillarDraft {
                name: "F".to_owned(),
                ..draft()
            },
            PillarDraft {
                name: "Family and friends".to_owned(),
                archived: true,
                ..draft()
            },
            PillarDraft {
                color: None,
                icon: None,
                target: None,
                unit: None,
                ..draft()
            },
            PillarDraft {
                target: Amount::of(-1e9),
                ..draft()
            },
        ] {
            assert_eq!(size(other), size(draft()));
        }
    }
}
