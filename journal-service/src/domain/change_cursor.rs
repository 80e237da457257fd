//! How far a client has followed the changes: sealed under the person's own data key, as the cursors of lists are.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::{
    envelope::{DataKey, RecordContext},
    user_id::UserId,
};
use uuid::Uuid;

use super::sealed_entry::OWNER;

/// The last change that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangePlace {
    /// Numbers of another epoch mean nothing.
    pub(crate) epoch: Uuid,
    pub(crate) number: i64,
}

impl ChangePlace {
    /// The opaque text for the client.
    pub(crate) fn seal(self, user: UserId, key: &DataKey) -> String {
        let mut bytes = self.epoch.as_bytes().to_vec();
        bytes.extend_from_slice(&self.number.to_be_bytes());
        let envelope = key.seal(&place(user), &bytes).expect("24 bytes fit");
        BASE64_URL_SAFE_NO_PAD.encode(envelope)
    }

    /// What [`ChangePlace::seal`] made for the same person; `None` for anything else.
    pub(crate) fn open(text: &str, user: UserId, key: &DataKey) -> Option<Self> {
        let envelope = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes = key.open(&place(user), &envelope).ok()?;
        let (epoch, number) = bytes.split_first_chunk::<16>()?;
        Some(Self {
            epoch: Uuid::from_bytes(*epoch),
            number: i64::from_be_bytes(number.try_into().ok()?),
        })
    }
}

fn place(user: UserId) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "cursor",
        field: "changes",
        record_id: Uuid::nil(),
        revision: 0,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::super::{cursor::Position, entry::EntryId};
    use super::*;

    const HERE: ChangePlace = ChangePlace {
        epoch: Uuid::from_u128(7),
        number: 1 << 40,
    };

    #[test]
    fn a_cursor_leads_back_to_its_place_for_its_person_alone() {
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (ada, bob) = (UserId::new(ada), UserId::new(bob));
        let key = DataKey::generate(1);
        let cursor = HERE.seal(ada, &key);
        assert_eq!(ChangePlace::open(&cursor, ada, &key), Some(HERE));
        assert_eq!(ChangePlace::open(&cursor, bob, &key), None);
        let other = DataKey::generate(1);
        assert_eq!(ChangePlace::open(&cursor, ada, &other), None);
    }

    #[test]
    fn a_changed_cursor_and_one_of_a_list_lead_nowhere() {
        let (ada, key) = (UserId::new(Uuid::from_u128(1)), DataKey::generate(1));
        let cursor = HERE.seal(ada, &key);
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("it is ASCII");
            assert_eq!(ChangePlace::open(&changed, ada, &key), None, "{at}");
        }
        let listed = Position {
            date: date!(2026 - 11 - 24),
            id: EntryId::new(Uuid::from_u128(9)),
        };
        let listed = listed.seal(ada, &key);
        for other in [listed.as_str(), "", "0", "\u{0}", "MjAyNi0xMS0yNA"] {
            assert_eq!(ChangePlace::open(other, ada, &key), None);
        }
    }
}
