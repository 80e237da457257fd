//! The chain that makes the audit tell of its own changes: each record carries a MAC over itself and the MAC before it.
//!
//! ```text
//! Kaudit_v = Expand(PRK_v, "vault/v1/audit", 32)
//! mac_0 = HMAC-SHA-256(Kaudit_v, "vault/v1/audit/first" || chain (16) || others || record)
//! mac_n = HMAC-SHA-256(Kaudit_v, "vault/v1/audit/next" || chain (16) || n (8, big endian) || mac_(n-1) || record)
//! record = every column in the order of the table: 0x00 for NULL, or 0x01 || length (4, big endian) || bytes; the
//!          time as microseconds since 1970 (8, big endian)
//! ```
//! Whoever may write to the database and does not hold the master key can change, remove, swap or add no record without
//! a MAC that does not fit. What a chain alone cannot show is that its newest records are missing: the first record of
//! every later chain notes where the others were, and a head that was kept elsewhere shows the rest. The key of a master key
//! that has been destroyed is kept (`kept_audit_key`).

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

use super::keyring::{KeyVersion, Keyring};

/// The MAC of a record.
pub(crate) type Mac = [u8; 32];

/// What is recorded. Ids and stable words, never a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In whole microseconds, as Postgres keeps it.
    pub(crate) at: OffsetDateTime,
    /// The service; `None` for what the vault does by itself.
    pub(crate) caller: Option<String>,
    pub(crate) operation: String,
    pub(crate) purpose: Option<String>,
    pub(crate) subject: Option<Uuid>,
    pub(crate) dek_id: Option<Uuid>,
    /// `ok`, or the stable code of the refusal.
    pub(crate) outcome: String,
    pub(crate) request_id: Option<String>,
}

/// The newest record of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Head {
    pub(crate) chain: Uuid,
    pub(crate) number: u64,
    pub(crate) mac: Mac,
}

/// Bytes of a [`Head`] in `others`.
pub(crate) const HEAD: usize = 16 + 8 + 32;

impl Head {
    /// As `audit_chains.others` keeps it.
    pub(crate) fn bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let (chain, rest) = bytes.split_at_mut(16);
        let (number, mac) = rest.split_at_mut(8);
        chain.copy_from_slice(self.chain.as_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        mac.copy_from_slice(&self.mac);
        bytes
    }

    /// Reads what [`Head::bytes`] wrote, for several; a part of one is left out.
    pub(crate) fn read_all(others: &[u8]) -> Vec<Self> {
        let (heads, _) = others.as_chunks::<HEAD>();
        heads.iter().filter_map(Self::read).collect()
    }

    fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let (chain, rest) = bytes.split_first_chunk::<16>()?;
        let (number, mac) = rest.split_first_chunk::<8>()?;
        Some(Self {
            chain: Uuid::from_bytes(*chain),
            number: u64::from_be_bytes(*number),
            mac: mac.try_into().ok()?,
        })
    }
}

/// The key of the MACs of a master key's chains. It is not printed.
#[derive(Clone, Copy)]
pub(crate) struct ChainKey<'a>(&'a [u8; 32]);

impl<'a> ChainKey<'a> {
    pub(super) fn of(key: &'a [u8; 32]) -> Self {
        Self(key)
    }
}

impl Keyring {
    /// The key of a version's chains; `None` for one that is not here.
    pub(crate) fn chain_key(&self, version: KeyVersion) -> Option<ChainKey<'_>> {
        self.audit_key(version).map(ChainKey)
    }
}

/// A chain as it can be gone on with: its newest record and the key of its MACs.
pub(crate) struct Chain<'a> {
    key: ChainKey<'a>,
    head: Head,
}

impl<'a> Chain<'a> {
    /// Begins a chain with its first record.
    pub(crate) fn begin(key: ChainKey<'a>, chain: Uuid, others: &[u8], first: &Entry) -> Self {
        let mut mac = started(key, b"vault/v1/audit/first");
        mac.update(chain.as_bytes());
        put(&mut mac, Some(others));
        first.feed(&mut mac);
        let head = Head {
            chain,
            number: 0,
            mac: mac.finalize().into_bytes().into(),
        };
        Self { key, head }
    }

    /// Goes on with a chain from its newest record.
    pub(crate) fn at(key: ChainKey<'a>, head: Head) -> Self {
        Self { key, head }
    }

    /// Adds a record; the chain's head from now on.
    pub(crate) fn push(&mut self, entry: &Entry) -> Head {
        let number = self.head.number.saturating_add(1);
        let mut mac = started(self.key, b"vault/v1/audit/next");
        mac.update(self.head.chain.as_bytes());
        mac.update(&number.to_be_bytes());
        mac.update(&self.head.mac);
        entry.feed(&mut mac);
        self.head = Head {
            number,
            mac: mac.finalize().into_bytes().into(),
            ..self.head
        };
        self.head
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }
}

impl Entry {
    fn feed(&self, mac: &mut Hmac<Sha256>) {
        let micros = self.at.unix_timestamp_nanos() / 1_000;
        let micros = i64::try_from(micros).unwrap_or(i64::MAX).to_be_bytes();
        put(mac, Some(&micros));
        put(mac, self.caller.as_ref().map(String::as_bytes));
        put(mac, Some(self.operation.as_bytes()));
        put(mac, self.purpose.as_ref().map(String::as_bytes));
        put(
            mac,
            self.subject.as_ref().map(|id| id.as_bytes().as_slice()),
        );
        put(mac, self.dek_id.as_ref().map(|id| id.as_bytes().as_slice()));
        put(mac, Some(self.outcome.as_bytes()));
        put(mac, self.request_id.as_ref().map(String::as_bytes));
    }
}

fn started(key: ChainKey<'_>, label: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.0).expect("HMAC takes any key");
    put(&mut mac, Some(label));
    mac
}

fn put(mac: &mut Hmac<Sha256>, field: Option<&[u8]>) {
    let Some(bytes) = field else {
        mac.update(&[0]);
        return;
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    mac.update(&[1]);
    mac.update(&length.to_be_bytes());
    mac.update(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::{
        super::keyring::tests::{COUNTING, ring},
        *,
    };

    fn entry(subject: u128, outcome: &str) -> Entry {
        Entry {
            at: datetime!(2026-11-24 08:00:00.123456 UTC),
            caller: Some("journal".to_owned()),
            operation: "unwrap".to_owned(),
            purpose: Some("entries".to_owned()),
            subject: Some(Uuid::from_u128(subject)),
            dek_id: None,
            outcome: outcome.to_owned(),
            request_id: Some("0123".to_owned()),
        }
    }

    fn version() -> KeyVersion {
        KeyVersion::new(1).expect("not 0")
    }

    fn macs(entries: &[Entry]) -> Vec<Mac> {
        let keyring = ring(COUNTING);
        let (first, rest) = entries.split_first().expect("a first record");
        let chain = Uuid::from_u128(7);
        let key = keyring.chain_key(version()).expect("a key");
        let mut chain = Chain::begin(key, chain, &[], first);
        let first = chain.head().mac;
        std::iter::once(first)
            .chain(rest.iter().map(|entry| chain.push(entry).mac))
            .collect()
    }

    #[test]
    fn every_field_of_a_record_is_under_its_mac() {
        let good = entry(1, "ok");
        let changes: [fn(&mut Entry); 9] = [
            |it| it.at += time::Duration::MICROSECOND,
            |it| it.caller = Some("identity".to_owned()),
            |it| it.caller = None,
            |it| it.operation = "create".to_owned(),
            |it| it.purpose = None,
            |it| it.subject = Some(Uuid::from_u128(2)),
            |it| it.dek_id = Some(Uuid::nil()),
            |it| it.outcome = "shredded".to_owned(),
            |it| it.request_id = Some(String::new()),
        ];
        let both = [good.clone(), good.clone()];
        for change in changes {
            let mut other = good.clone();
            change(&mut other);
            assert_ne!(macs(&both[..1]), macs(&[other.clone()]), "{other:?}");
            assert_ne!(macs(&both)[1], macs(&[good.clone(), other])[1]);
        }
    }

    #[test]
    fn what_moves_between_neighbouring_fields_is_noticed() {
        let mut one = entry(1, "ok");
        let mut other = one.clone();
        (one.operation, one.outcome) = ("unwrap".to_owned(), "ok".to_owned());
        (one.purpose, other.purpose) = (Some("ab".to_owned()), Some("a".to_owned()));
        assert_ne!(macs(&[one]), macs(&[other]));
    }

    #[test]
    fn a_chain_is_of_its_id_its_key_and_what_it_noted_of_others() {
        let keyring = ring(COUNTING);
        let other = ring("8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d");
        let first = entry(1, "ok");
        let head = |keyring: &Keyring, chain: u128, others: &[u8]| {
            let chain = Uuid::from_u128(chain);
            let key = keyring.chain_key(version()).expect("a key");
            Chain::begin(key, chain, others, &first).head().mac
        };
        let good = head(&keyring, 7, &[]);
        assert_eq!(good, head(&keyring, 7, &[]));
        assert_ne!(good, head(&keyring, 8, &[]));
        assert_ne!(good, head(&keyring, 7, &[0; HEAD]));
        assert_ne!(good, head(&other, 7, &[]));
        let absent = KeyVersion::new(2).expect("not 0");
        assert!(keyring.chain_key(absent).is_none());
    }

    proptest! {
        #[test]
        fn heads_come_back_as_they_were(heads in proptest::collection::vec(
            (any::<u128>(), any::<u64>(), any::<[u8; 32]>()), 0..5
        )) {
            let heads: Vec<_> = heads
                .into_iter()
                .map(|(chain, number, mac)| Head { chain: Uuid::from_u128(chain), number, mac })
                .collect();
            let bytes: Vec<_> = heads.iter().flat_map(Head::bytes).collect();
            prop_assert_eq!(Head::read_all(&bytes), heads);
        }

        #[test]
        fn any_two_histories_that_differ_end_differently(
            one in proptest::collection::vec((0..4u128, "[a-c]{0,2}"), 2..6),
            other in proptest::collection::vec((0..4u128, "[a-c]{0,2}"), 2..6),
        ) {
            let of = |history: &[(u128, String)]| {
                let entries: Vec<_> = history.iter().map(|(id, outcome)| entry(*id, outcome)).collect();
                macs(&entries).last().copied()
            };
            prop_assert_eq!(one == other, of(&one) == of(&other));
        }
    }
}
