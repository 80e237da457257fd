//! A person's slot (kind 3, 100 bytes): the salt that every one of their keys depends on, sealed for the
//! vault's own database. Deleting it makes every copy of that person's data unreadable.
//!
//! ```text
//! 0 kind=0x03 · 1 suite=0x01 · 2..4 reserved 0 · 4..8 mek_version u32be · 8..20 nonce
//! 20..52 commitment · 52..84 ciphertext of the salt · 84..100 tag
//! PRK = HKDF-Extract(salt = "", IKM = Kslot_v);  label "vault/v1/salt";  context = [subject]
//! ```
//! The construction is that of `shared::envelope::committed`; bound to the subject, so one person's slot
//! pasted over another's does not open.

use shared::{
    envelope::{
        Context, Field,
        committed::{self, Binding, COMMITMENT, NONCE, TAG, Unopened},
    },
    random,
};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::keyring::{KeyVersion, Keyring};

const HEADER: usize = 20;
const SALT: usize = 32;
const SEALED: usize = HEADER + COMMITMENT + SALT + TAG;
const LABEL: &[u8] = b"vault/v1/salt";
const KIND: u8 = 3;
const SUITE: u8 = 1;

/// 32 random bytes per person; wiped when dropped.
pub(crate) struct Salt(Zeroizing<Vec<u8>>);

impl Salt {
    /// A new salt from the operating system's generator.
    pub(crate) fn generate() -> Self {
        let mut salt = Zeroizing::new(vec![0; SALT]);
        random::fill(&mut salt);
        Self(salt)
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn known(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// Why a stored slot did not open: the database holds what this vault never wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SlotDamaged {
    #[error("not a slot of a known kind, suite and shape")]
    Malformed,
    #[error("sealed under master key version {0}, which is not here")]
    UnknownVersion(KeyVersion),
    #[error(transparent)]
    Unopened(#[from] Unopened),
}

impl Keyring {
    /// Seals a person's salt under the current master key, with a nonce drawn here.
    pub(crate) fn seal_salt(&self, subject: Uuid, salt: &Salt) -> (KeyVersion, Vec<u8>) {
        let version = self.current();
        let mut slot = [KIND, SUITE, 0, 0].to_vec();
        slot.extend_from_slice(&version.number().to_be_bytes());
        slot.extend_from_slice(&random::bytes::<NONCE>());
        let header: &[u8; HEADER] = &slot.first_chunk().copied().expect("4 + 4 + 12 bytes");
        let key = self
            .slot_key(version)
            .expect("the current version is in the ring");
        slot.extend(committed::seal(
            &committed::extract(&[], key),
            &binding(header, &context(subject)),
            salt.expose(),
        ));
        (version, slot)
    }

    /// Opens what [`Keyring::seal_salt`] made for the same person.
    pub(crate) fn open_salt(&self, subject: Uuid, slot: &[u8]) -> Result<Salt, SlotDamaged> {
        let slot: &[u8; SEALED] = slot.try_into().map_err(|_| SlotDamaged::Malformed)?;
        let (header, sealed) = slot
            .split_first_chunk::<HEADER>()
            .ok_or(SlotDamaged::Malformed)?;
        let [KIND, SUITE, 0, 0, v1, v2, v3, v4, ..] = *header else {
            return Err(SlotDamaged::Malformed);
        };
        let version = KeyVersion::new(u32::from_be_bytes([v1, v2, v3, v4]));
        let version = version.ok_or(SlotDamaged::Malformed)?;
        let key = self.slot_key(version);
        let key = key.ok_or(SlotDamaged::UnknownVersion(version))?;
        let salt = committed::open(
            &committed::extract(&[], key),
            &binding(header, &context(subject)),
            sealed,
        )?;
        Ok(Salt(salt))
    }
}

fn context(subject: Uuid) -> Context {
    Context::of(&[Field::Id(subject)])
}

fn binding<'a>(header: &'a [u8; HEADER], context: &'a Context) -> Binding<'a> {
    Binding {
        label: LABEL,
        header,
        nonce: header.last_chunk().expect("a header ends with its nonce"),
        context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keyring::tests::{COUNTING, ring};

    const ADA: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_slot_is_100_bytes_and_opens_for_its_person() {
        let salt = Salt::generate();
        let (version, slot) = ring(COUNTING).seal_salt(ADA, &salt);
        assert_eq!((version.number(), slot.len()), (1, 100));
        assert!(slot.starts_with(&[3, 1, 0, 0, 0, 0, 0, 1]));
        let opened = ring(COUNTING).open_salt(ADA, &slot).expect("opens");
        assert_eq!(opened.expose(), salt.expose());
        assert_ne!(
            ring(COUNTING).seal_salt(ADA, &salt).1,
            slot,
            "the nonce was reused"
        );
    }

    #[test]
    fn the_slot_of_another_person_or_master_key_does_not_open() {
        let (_, slot) = ring(COUNTING).seal_salt(ADA, &Salt::generate());
        let wrong = Some(SlotDamaged::Unopened(Unopened::WrongKeyOrContext));
        let bob = Uuid::from_u128(2);
        assert_eq!(ring(COUNTING).open_salt(bob, &slot).err(), wrong);
        let other = ring(&hex::encode(random::bytes::<32>()));
        assert_eq!(other.open_salt(ADA, &slot).err(), wrong);
        let newer = ring(&format!("2:{COUNTING}"));
        assert_eq!(
            newer.open_salt(ADA, &slot).err(),
            KeyVersion::new(1).map(SlotDamaged::UnknownVersion)
        );
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_refused() {
        let ring = ring(COUNTING);
        let (_, slot) = ring.seal_salt(ADA, &Salt::generate());
        for bit in 0..slot.len() * 8 {
            let mut changed = slot.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                ring.open_salt(ADA, &changed).is_err(),
                "bit {bit} was not protected"
            );
        }
        for length in 0..slot.len() {
            assert_eq!(
                ring.open_salt(ADA, &slot[..length]).err(),
                Some(SlotDamaged::Malformed)
            );
        }
        let longer = [slot, vec![0]].concat();
        assert_eq!(
            ring.open_salt(ADA, &longer).err(),
            Some(SlotDamaged::Malformed)
        );
    }
}
