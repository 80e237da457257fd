//! Where the next page of a list begins: sealed under the person's own data key, so that a client can
//! neither read it, nor make one, nor use another person's.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::{
    envelope::{DataKey, RecordContext},
    user_id::UserId,
};
use time::Date;
use uuid::Uuid;

use super::{entry::EntryId, pillar::PillarId, sealed_entry::OWNER};

/// The last entry of a page; the next one holds what is older. Lists run from the newest day to the oldest,
/// and within a day from the latest id to the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) date: Date,
    pub(crate) id: EntryId,
}

impl Position {
    /// Before the first entry there can be: `Uuid::max` is no version 7, so no entry has it.
    pub(crate) const START: Self = Self {
        date: Date::MAX,
        id: EntryId::new(Uuid::max()),
    };

    /// The opaque text for the client.
    pub(crate) fn seal(self, user: UserId, key: &DataKey) -> String {
        let Self { date, id } = self;
        List::Entries.seal((date, id.uuid()), user, key)
    }

    /// What [`Position::seal`] made for the same person; `None` for anything else.
    pub(crate) fn open(text: &str, user: UserId, key: &DataKey) -> Option<Self> {
        let (date, id) = List::Entries.open(text, user, key)?;
        Some(Self {
            date,
            id: EntryId::new(id),
        })
    }
}

/// Which list a cursor belongs to, and is of no use in any other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Entries,
    Scores(PillarId),
    Feels,
}

impl List {
    /// The opaque text for the last day and id of a page.
    pub(crate) fn seal(self, (day, id): (Date, Uuid), user: UserId, key: &DataKey) -> String {
        let mut bytes = day.to_julian_day().to_be_bytes().to_vec();
        bytes.extend_from_slice(id.as_bytes());
        let envelope = key.seal(&self.place(user), &bytes).expect("20 bytes fit");
        BASE64_URL_SAFE_NO_PAD.encode(envelope)
    }

    /// What [`List::seal`] made for the same list of the same person; `None` for anything else.
    pub(crate) fn open(self, text: &str, user: UserId, key: &DataKey) -> Option<(Date, Uuid)> {
        let envelope = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes = key.open(&self.place(user), &envelope).ok()?;
        let (day, id) = bytes.split_first_chunk::<4>()?;
        let day = Date::from_julian_day(i32::from_be_bytes(*day)).ok()?;
        Some((day, Uuid::from_slice(id).ok()?))
    }

    fn place(self, user: UserId) -> RecordContext {
        let (field, record_id) = match self {
            Self::Entries => ("entries", Uuid::nil()),
            Self::Scores(pillar) => ("scores", pillar.uuid()),
            Self::Feels => ("feels", Uuid::nil()),
        };
        RecordContext {
            owner: OWNER,
            subject: user.uuid(),
            collection: "cursor",
            field,
            record_id,
            revision: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn person(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    const HERE: Position = Position {
        date: date!(2026 - 11 - 24),
        id: EntryId::new(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00e1)),
    };

    #[test]
    fn a_cursor_leads_back_to_its_place_for_its_person_alone() {
        let key = DataKey::generate(1);
        let cursor = HERE.seal(person(1), &key);
        assert_eq!(Position::open(&cursor, person(1), &key), Some(HERE));
        assert_eq!(Position::open(&cursor, person(2), &key), None);
        assert_eq!(
            Position::open(&cursor, person(1), &DataKey::generate(1)),
            None
        );
    }

    #[test]
    fn a_cursor_of_one_list_leads_nowhere_in_another() {
        let key = DataKey::generate(1);
        let pillar = |number| List::Scores(PillarId::new(Uuid::from_u128(number)));
        let (user, at) = (person(1), (HERE.date, HERE.id.uuid()));
        let cursor = pillar(7).seal(at, user, &key);
        assert_eq!(pillar(7).open(&cursor, user, &key), Some(at));
        assert_eq!(pillar(8).open(&cursor, user, &key), None);
        assert_eq!(Position::open(&cursor, user, &key), None);
        assert_eq!(pillar(7).open(&HERE.seal(user, &key), user, &key), None);
    }

    #[test]
    fn a_made_up_or_changed_cursor_leads_nowhere() {
        let key = DataKey::generate(1);
        let cursor = HERE.seal(person(1), &key);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("it is ASCII");
            assert_eq!(Position::open(&changed, person(1), &key), None, "{at}");
        }
        for made_up in [
            "",
            "0",
            "MjAyNi0xMS0yNA",
            "a b",
            "\u{0}",
            &"A".repeat(100_000),
        ] {
            assert_eq!(Position::open(made_up, person(1), &key), None);
        }
    }
}
