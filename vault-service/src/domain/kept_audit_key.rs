//! The audit key of an older master key (kind 5), kept so that its chains can still be checked when that master key has been
//! destroyed: sealed for the vault's own database as `own_secret` has it, under the label `vault/v1/kept-audit-key` and the
//! context `[version]`. It verifies MACs and opens nothing.

use shared::envelope::{Context, Field};
use zeroize::Zeroizing;

use super::{
    audit_chain::ChainKey,
    keyring::{KeyVersion, Keyring},
    own_secret::{self, Kind},
};

pub(crate) use super::own_secret::Damaged;

const KIND: Kind = Kind {
    number: 5,
    label: b"vault/v1/kept-audit-key",
};

/// The master key that a kept key says it is sealed under, if it has the shape of one.
pub(crate) fn under(sealed: &[u8]) -> Option<KeyVersion> {
    own_secret::version(sealed)
}

/// An audit key that was kept; wiped when dropped.
#[derive(PartialEq, Eq)]
pub(crate) struct KeptAuditKey(Zeroizing<Vec<u8>>);

impl KeptAuditKey {
    /// Of a version that is still here; `None` for any other.
    pub(crate) fn of(keyring: &Keyring, version: KeyVersion) -> Option<Self> {
        let key = keyring.audit_key(version)?;
        Some(Self(Zeroizing::new(key.to_vec())))
    }

    /// Seals it under the current master key.
    pub(crate) fn seal(&self, keyring: &Keyring, version: KeyVersion) -> (KeyVersion, Vec<u8>) {
        KIND.seal(keyring, &context(version), &self.0)
    }

    /// Opens what [`KeptAuditKey::seal`] made for the same version.
    pub(crate) fn open(
        keyring: &Keyring,
        version: KeyVersion,
        sealed: &[u8],
    ) -> Result<Self, Damaged> {
        KIND.open(keyring, &context(version), sealed).map(Self)
    }

    pub(crate) fn chain_key(&self) -> ChainKey<'_> {
        ChainKey::of(self.0.first_chunk().expect("it was sealed as 32 bytes"))
    }
}

fn context(version: KeyVersion) -> Context {
    Context::of(&[Field::Number(version.number().into())])
}

#[cfg(test)]
mod tests {
    use shared::envelope::committed::Unopened;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        keyring::tests::{COUNTING, ring},
        slot::Salt,
    };

    const NEWER: &str = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";

    fn version(number: u32) -> KeyVersion {
        KeyVersion::new(number).expect("not 0")
    }

    #[test]
    fn a_kept_key_opens_for_its_version_under_the_newer_master_key_alone() {
        let both = ring(&format!("1:{COUNTING},2:{NEWER}"));
        let key = KeptAuditKey::of(&both, version(1)).expect("it is here");
        let (under, sealed) = key.seal(&both, version(1));
        assert_eq!((under, sealed.len()), (version(2), 100));
        let newer = ring(&format!("2:{NEWER}"));
        let opened = KeptAuditKey::open(&newer, version(1), &sealed).expect("it opens");
        assert_eq!(opened.0, key.0);
        let wrong = Some(Damaged::Unopened(Unopened::WrongKeyOrContext));
        let as_another = KeptAuditKey::open(&newer, version(3), &sealed);
        assert_eq!(as_another.err(), wrong);
        let older = ring(COUNTING);
        let without = KeptAuditKey::open(&older, version(1), &sealed);
        assert_eq!(without.err(), Some(Damaged::UnknownVersion(version(2))));
        assert!(KeptAuditKey::of(&older, version(2)).is_none());
    }

    #[test]
    fn every_flipped_bit_and_the_slot_of_a_person_are_refused() {
        let ring = ring(COUNTING);
        let key = KeptAuditKey::of(&ring, version(1)).expect("it is here");
        let (_, sealed) = key.seal(&ring, version(1));
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(KeptAuditKey::open(&ring, version(1), &changed).is_err());
        }
        let (_, slot) = ring.seal_salt(Uuid::from_u128(1), &Salt::generate());
        let opened = KeptAuditKey::open(&ring, version(1), &slot);
        assert_eq!(opened.err(), Some(Damaged::Malformed));
    }
}
