//! The master keys, by version, and everything that is derived from them.
//!
//! ```text
//! MEK_v --HKDF-Extract(salt = "vault/v1/mek")--> PRK_v
//!   kcv_v   = Expand(PRK_v, "vault/v1/kcv", 8)    stored beside the version: tells a changed key at start
//!   Kwrap_v = Expand(PRK_v, "vault/v1/wrap", 32)  wraps data keys, together with a person's salt
//!   Kslot_v = Expand(PRK_v, "vault/v1/slot", 32)  seals salts
//!   Krcpt_v = Expand(PRK_v, "vault/v1/rcpt", 32)  the seed of the Ed25519 key that signs receipts
//!   Kaudit_v = Expand(PRK_v, "vault/v1/audit", 32) the key of the audit's MACs
//! ```
//! Only the last four are kept, in locked pages; the master keys themselves are wiped once read.

use std::{
    fmt, io,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use shared::envelope::committed;
use zeroize::Zeroizing;

use super::locked_memory::LockedMemory;

/// Bytes of derived keys kept per version: `Kwrap || Kslot || Krcpt || Kaudit`.
const DERIVED: usize = KEYS * KEY;
const KEYS: usize = 4;
const KEY: usize = 32;

/// A master key as the setting gives it, wiped when dropped.
pub(crate) type MasterKey = Zeroizing<[u8; 32]>;

/// The number of a master key. Never 0, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// `None` for 0.
    pub(crate) fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The bare number, for the wire, the bytes and the database.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Eight bytes that tell one master key from another and nothing about either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyCheckValue(pub(crate) [u8; 8]);

/// Every master key version this process can use. Holds secrets: no `Debug`, no `Clone`.
pub(crate) struct Keyring {
    /// Ascending, at least one; the position is the position of the derived keys.
    versions: Vec<(KeyVersion, KeyCheckValue)>,
    /// The version that wraps, one of them.
    current: AtomicU32,
    derived: LockedMemory,
}

impl Keyring {
    /// Derives what is needed from every version and wipes the master keys. `keys` are distinct, at least
    /// one, and versions above 0: what `shared::settings::versioned_keys` lets through.
    pub(crate) fn new(keys: Vec<(u32, MasterKey)>) -> io::Result<Self> {
        let mut keys: Vec<_> = keys
            .into_iter()
            .filter_map(|(number, key)| Some((KeyVersion::new(number)?, key)))
            .collect();
        keys.sort_unstable_by_key(|(version, _)| *version);
        let (newest, _) = *keys.last().ok_or(io::ErrorKind::InvalidInput)?;
        let mut derived = LockedMemory::zeroed(keys.len() * DERIVED)?;
        let (places, _) = derived.bytes_mut().as_chunks_mut::<DERIVED>();
        let versions = keys
            .iter()
            .zip(places)
            .map(|((version, key), place)| (*version, derive(key, place)))
            .collect();
        Ok(Self {
            versions,
            current: AtomicU32::new(newest.number()),
            derived,
        })
    }

    /// The version that wraps and seals; every version unwraps and opens. The newest, until
    /// [`Keyring::wrap_under`] says otherwise.
    pub(crate) fn current(&self) -> KeyVersion {
        let number = self.current.load(Ordering::Relaxed);
        KeyVersion::new(number).expect("only versions of the ring are stored")
    }

    /// From now on this version wraps. One that is not here changes nothing.
    pub(crate) fn wrap_under(&self, version: KeyVersion) {
        if self.holds(version) {
            self.current.store(version.number(), Ordering::Relaxed);
        }
    }

    /// Whether this process has that version.
    pub(crate) fn holds(&self, version: KeyVersion) -> bool {
        self.versions.iter().any(|(known, _)| *known == version)
    }

    /// The highest version.
    pub(crate) fn newest(&self) -> KeyVersion {
        let (newest, _) = self.versions.last().expect("no ring is empty");
        *newest
    }

    /// The same ring without some versions, whose keys are wiped with this one; `None` when nothing would be left.
    pub(crate) fn without(&self, gone: &[KeyVersion]) -> io::Result<Option<Self>> {
        let (keys, _) = self.derived.bytes().as_chunks::<DERIVED>();
        let kept: Vec<_> = self
            .versions
            .iter()
            .zip(keys)
            .filter(|((version, _), _)| !gone.contains(version))
            .collect();
        let Some(((newest, _), _)) = kept.last() else {
            return Ok(None);
        };
        let mut derived = LockedMemory::zeroed(kept.len() * DERIVED)?;
        let (places, _) = derived.bytes_mut().as_chunks_mut::<DERIVED>();
        for ((_, keys), place) in kept.iter().zip(places) {
            place.copy_from_slice(*keys);
        }
        let ring = Self {
            current: AtomicU32::new(newest.number()),
            versions: kept.iter().map(|(version, _)| **version).collect(),
            derived,
        };
        ring.wrap_under(self.current());
        Ok(Some(ring))
    }

    /// Every version with its key-check value, oldest first.
    pub(crate) fn versions(&self) -> &[(KeyVersion, KeyCheckValue)] {
        &self.versions
    }

    /// Whether the keys lie in memory that is neither swapped nor dumped.
    pub(crate) fn is_locked(&self) -> bool {
        self.derived.is_locked()
    }

    /// `Kwrap_v`; `None` for a version that is not here.
    pub(super) fn wrap_key(&self, version: KeyVersion) -> Option<&[u8; KEY]> {
        let [wrap, ..] = self.of(version)?;
        Some(wrap)
    }

    /// `Kslot_v`; `None` for a version that is not here.
    pub(super) fn slot_key(&self, version: KeyVersion) -> Option<&[u8; KEY]> {
        let [_, slot, ..] = self.of(version)?;
        Some(slot)
    }

    /// `Krcpt_v`; `None` for a version that is not here.
    pub(super) fn receipt_seed(&self, version: KeyVersion) -> Option<&[u8; KEY]> {
        let [_, _, receipt, _] = self.of(version)?;
        Some(receipt)
    }

    /// `Kaudit_v`; `None` for a version that is not here.
    pub(super) fn audit_key(&self, version: KeyVersion) -> Option<&[u8; KEY]> {
        let [_, _, _, audit] = self.of(version)?;
        Some(audit)
    }

    fn of(&self, version: KeyVersion) -> Option<&[[u8; KEY]; KEYS]> {
        let at = self
            .versions
            .iter()
            .position(|(known, _)| *known == version)?;
        let (keys, _) = self.derived.bytes().as_chunks::<KEY>();
        let (each, _) = keys.as_chunks::<KEYS>();
        each.get(at)
    }
}

/// Writes `Kwrap || Kslot || Krcpt || Kaudit` to their place and returns the key-check value.
fn derive(key: &MasterKey, place: &mut [u8; DERIVED]) -> KeyCheckValue {
    let prk = committed::extract(b"vault/v1/mek", key.as_slice());
    let (wrap, rest) = place.split_at_mut(KEY);
    let (slot, rest) = rest.split_at_mut(KEY);
    let (receipt, audit) = rest.split_at_mut(KEY);
    let mut kcv = [0; 8];
    for (label, okm) in [
        (b"vault/v1/kcv".as_slice(), kcv.as_mut_slice()),
        (b"vault/v1/wrap", wrap),
        (b"vault/v1/slot", slot),
        (b"vault/v1/rcpt", receipt),
        (b"vault/v1/audit", audit),
    ] {
        prk.expand(label, okm)
            .expect("8 or 32 bytes is within what HKDF-SHA-256 can give");
    }
    KeyCheckValue(kcv)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use shared::settings::versioned_keys;

    use super::*;

    pub(in crate::domain) const COUNTING: &str =
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const OTHER: &str = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";

    pub(in crate::domain) fn ring(setting: &str) -> Keyring {
        let keys = versioned_keys(setting).expect("a good setting");
        Keyring::new(keys).expect("memory for keys")
    }

    fn version(number: u32) -> KeyVersion {
        KeyVersion::new(number).expect("not 0")
    }

    #[test]
    fn the_known_key_check_value_is_reproduced() {
        let ring = ring(COUNTING);
        assert_eq!(ring.current(), version(1));
        let [(_, kcv)] = ring.versions() else {
            panic!("one version was given");
        };
        assert_eq!(hex::encode(kcv.0), "8027fc57b6904154");
    }

    #[test]
    fn in_any_order_the_highest_version_is_newest_and_each_has_its_own_keys() {
        for setting in [
            format!("2:{OTHER},1:{COUNTING}"),
            format!("1:{COUNTING}\n2:{OTHER}\n"),
        ] {
            let both = ring(&setting);
            assert_eq!(both.newest(), version(2));
            assert_eq!(both.versions().len(), 2);
            assert_eq!(
                both.wrap_key(version(1)),
                ring(COUNTING).wrap_key(version(1))
            );
            assert_eq!(
                both.slot_key(version(2)),
                ring(&format!("2:{OTHER}")).slot_key(version(2))
            );
        }
    }

    #[test]
    fn every_derived_key_differs() {
        let ring = ring(&format!("2:{OTHER},1:{COUNTING}"));
        let all: BTreeSet<_> = [1, 2]
            .into_iter()
            .flat_map(|number| {
                [
                    ring.wrap_key(version(number)),
                    ring.slot_key(version(number)),
                    ring.receipt_seed(version(number)),
                    ring.audit_key(version(number)),
                ]
            })
            .collect();
        assert_eq!(all.len(), 8);
        assert!(!all.contains(&None));
        assert!(ring.wrap_key(version(3)).is_none());
    }

    #[test]
    fn another_version_wraps_only_when_it_is_there() {
        let ring = ring(&format!("2:{OTHER},1:{COUNTING}"));
        assert_eq!(ring.current(), version(2));
        ring.wrap_under(version(1));
        assert_eq!((ring.current(), ring.newest()), (version(1), version(2)));
        ring.wrap_under(version(3));
        assert_eq!(ring.current(), version(1));
    }

    #[test]
    fn a_ring_without_a_version_has_the_others_as_they_were() {
        let both = ring(&format!("2:{OTHER},1:{COUNTING}"));
        both.wrap_under(version(1));
        for (gone, kept) in [(1, 2), (2, 1)] {
            let rest = both.without(&[version(gone)]).expect("memory");
            let rest = rest.expect("one is left");
            assert!(!rest.holds(version(gone)) && rest.wrap_key(version(gone)).is_none());
            assert_eq!(
                (rest.current(), rest.newest()),
                (version(kept), version(kept))
            );
            assert_eq!(rest.wrap_key(version(kept)), both.wrap_key(version(kept)));
            assert_eq!(rest.audit_key(version(kept)), both.audit_key(version(kept)));
        }
        let none = both.without(&[version(1), version(2)]).expect("memory");
        assert!(none.is_none());
    }

    #[test]
    fn no_keys_make_no_ring() {
        assert!(Keyring::new(Vec::new()).is_err());
    }
}
