//! Every parser of the vault against bytes that nobody of ours wrote: any at all, and good ones that were changed. None
//! panics, and nothing counts but what was made.

use proptest::{collection::vec, prelude::*, sample::Index};
use shared::{envelope::committed::Unopened, settings::versioned_keys};
use time::macros::datetime;
use uuid::Uuid;

use super::{
    audit_chain::{HEAD, Head},
    keyring::tests::{COUNTING, ring},
    policy::{Purpose, Service},
    receipt::{ReceiptKeys, Statement},
    sealed_keyring::{Opener, SealedKeyring},
    share::Share,
    slot::Salt,
    wrapped_key::{Place, PlainKey, Refused, WrappedKey},
};

const ADA: Uuid = Uuid::from_u128(1);

/// What somebody does to bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    Repeat(Index, Index),
    Swap(Index, Index),
}

impl Change {
    fn of(&self, bytes: &mut Vec<u8>) {
        let place = |index: &Index, bytes: &[u8]| index.index(bytes.len().max(1));
        let range = |one: &Index, other: &Index, bytes: &[u8]| {
            let (one, other) = (place(one, bytes), place(other, bytes));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Insert(at, more) => {
                let at = place(at, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            _ if bytes.is_empty() => {}
            Self::Flip(at, bit) => {
                let at = place(at, bytes);
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Set(at, to) => {
                let at = place(at, bytes);
                bytes[at] = *to;
            }
            Self::Remove(one, other) => drop(bytes.drain(range(one, other, bytes))),
            Self::Repeat(one, other) => {
                let range = range(one, other, bytes);
                let (end, copy) = (range.end, bytes[range].to_vec());
                bytes.splice(end..end, copy);
            }
            Self::Swap(one, other) => {
                let (one, other) = (place(one, bytes), place(other, bytes));
                bytes.swap(one, other);
            }
        }
    }
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        (at(), vec(any::<u8>(), 1..20)).prop_map(|(at, more)| Change::Insert(at, more)),
        (at(), at()).prop_map(|(one, other)| Change::Remove(one, other)),
        (at(), at()).prop_map(|(one, other)| Change::Repeat(one, other)),
        (at(), at()).prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

pub(crate) fn changed(good: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for change in changes {
        change.of(&mut bytes);
    }
    bytes
}

fn place() -> Place {
    Place {
        owner: Service::Journal,
        subject: ADA,
        purpose: Purpose::Entries,
    }
}

fn statement(shred: u128) -> Statement {
    Statement {
        shred_id: Uuid::from_u128(shred),
        subject: ADA,
        requested_at: datetime!(2026-11-24 08:00 UTC),
        purged_at: datetime!(2026-12-01 08:00 UTC),
    }
}

fn receipt() -> (ReceiptKeys, String, Statement) {
    let (keys, [(_, signed)]) = receipts();
    (keys, signed, statement(1))
}

/// Receipts of so many shreds, and the keys that verify them.
pub(crate) fn receipts<const SHREDS: usize>() -> (ReceiptKeys, [(Uuid, String); SHREDS]) {
    let ring = ring(COUNTING);
    let mut shreds = 1..;
    let signed = [(); SHREDS].map(|()| {
        let statement = statement(shreds.next().unwrap_or_default());
        (statement.shred_id, ring.sign_receipt(&statement))
    });
    (ReceiptKeys::new([], &ring), signed)
}

proptest! {
    #[test]
    fn a_wrapped_key_opens_as_it_was_made_and_in_no_other_way(changes in vec(change(), 1..4)) {
        let (ring, salt) = (ring(COUNTING), Salt::generate());
        let good = ring.wrap(&salt, &place(), ADA, &PlainKey::generate());
        let bytes = changed(good.bytes(), &changes);
        let opened = WrappedKey::parse(&bytes)
            .map_err(Refused::Malformed)
            .and_then(|wrapped| ring.unwrap(&salt, &place(), &wrapped));
        prop_assert_eq!(opened.is_ok(), bytes == good.bytes());
    }

    #[test]
    fn any_bytes_are_no_wrapped_key(bytes in vec(any::<u8>(), 0..400)) {
        let opened = WrappedKey::parse(&bytes)
            .map_err(Refused::Malformed)
            .and_then(|wrapped| ring(COUNTING).unwrap(&Salt::generate(), &place(), &wrapped));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_slot_opens_as_it_was_sealed_and_in_no_other_way(changes in vec(change(), 1..4)) {
        let ring = ring(COUNTING);
        let (_, good) = ring.seal_salt(ADA, &Salt::generate());
        let bytes = changed(&good, &changes);
        prop_assert_eq!(ring.open_salt(ADA, &bytes).is_ok(), bytes == good);
    }

    #[test]
    fn any_bytes_are_no_slot(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(ring(COUNTING).open_salt(ADA, &bytes).is_err());
    }

    #[test]
    fn any_body_under_a_good_header_is_of_another_key(body in vec(any::<u8>(), 92)) {
        let slot = [&[3, 1, 0, 0, 0, 0, 0, 1], body.as_slice()].concat();
        let refused = ring(COUNTING).open_salt(ADA, &slot).err();
        prop_assert_eq!(refused, Some(Unopened::WrongKeyOrContext.into()));
    }

    /// A line of the tombstone file is a receipt and nothing else.
    #[test]
    fn a_receipt_counts_as_it_was_signed_and_in_no_other_way(changes in vec(change(), 1..4)) {
        let (keys, good, statement) = receipt();
        let bytes = changed(good.as_bytes(), &changes);
        let text = String::from_utf8_lossy(&bytes);
        let counts = keys.verify(&text);
        prop_assert_eq!(counts.is_ok(), text == good, "{}", text);
        prop_assert!(counts.is_err() || counts == Ok(statement));
    }

    #[test]
    fn no_text_is_a_receipt(text in "\\PC{0,200}", part in "[A-Za-z0-9_-]{0,80}") {
        let (keys, good, _) = receipt();
        prop_assert!(keys.verify(&text).is_err());
        let three = [part.as_str(), &text, &part].join(".");
        prop_assert!(keys.verify(&three).is_err());
        let (head, _) = good.rsplit_once('.').expect("three parts");
        let unsigned = [head, &part].join(".");
        prop_assert!(keys.verify(&unsigned).is_err());
    }

    #[test]
    fn heads_are_read_as_they_were_written_and_a_part_of_one_is_none(
        heads in vec((any::<u128>(), any::<u64>(), any::<[u8; 32]>()), 0..5), part in vec(any::<u8>(), 0..HEAD),
    ) {
        let head = |(chain, number, mac)| Head { chain: Uuid::from_u128(chain), number, mac };
        let heads: Vec<_> = heads.into_iter().map(head).collect();
        let mut bytes: Vec<_> = heads.iter().flat_map(Head::bytes).collect();
        bytes.extend(part);
        prop_assert_eq!(Head::read_all(&bytes), heads);
    }

    #[test]
    fn changed_settings_of_keys_are_refused_or_say_what_they_say(changes in vec(change(), 1..4)) {
        let good = format!("2:{COUNTING},1:8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d");
        let bytes = changed(good.as_bytes(), &changes);
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(keys) = versioned_keys(&text)
        {
            let text = text.to_lowercase();
            let said = keys.iter().all(|(version, key)| {
                *version > 0 && text.contains(&format!("{version}:{}", hex::encode(key.as_slice())))
            });
            prop_assert!(said, "{}", text);
        }
    }
    #[test]
    fn a_share_is_taken_as_it_was_made_and_in_no_other_way(changes in vec(change(), 1..4), text in "\\PC{0,200}") {
        let (keyring, shares) = SealedKeyring::with_shares("keys", 2, 2).expect("possible");
        let Opener::Shares(set) = keyring.opener() else {
            panic!("it was sealed with shares");
        };
        let good = shares[0].text();
        let bytes = changed(good.as_bytes(), &changes);
        let typed = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(Share::parse(&typed, set).is_ok(), typed.trim() == good.as_str(), "{}", typed);
        for other in [format!("keystead-share-{text}"), text] {
            prop_assert!(Share::parse(&other, set).is_err());
        }
    }

    #[test]
    fn no_other_name_is_one_of_a_service_or_a_purpose(text in "\\PC{0,20}", name in "[a-z-]{0,12}") {
        for text in [text, name] {
            let service = Service::ALL.map(Service::name).contains(&text.as_str());
            prop_assert_eq!(text.parse::<Service>().is_ok(), service);
            let purpose = Purpose::ALL.map(Purpose::name).contains(&text.as_str());
            prop_assert_eq!(text.parse::<Purpose>().is_ok(), purpose);
        }
    }
}
