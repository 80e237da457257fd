//! A person's slot (kind 3): the salt that every one of their keys depends on, sealed for the vault's own database as
//! `own_secret` has it, under the label `vault/v1/salt` and the context `[subject]`. Deleting it makes every copy of that
//! person's data unreadable. Bound to the subject, so one person's slot pasted over another's does not open.

use shared::{
    envelope::{Context, Field},
    random,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    keyring::{KeyVersion, Keyring},
    own_secret::{Kind, SECRET},
};

pub(crate) use super::own_secret::Damaged as SlotDamaged;

const KIND: Kind = Kind {
    number: 3,
    label: b"vault/v1/salt",
};

/// 32 random bytes per person; wiped when dropped.
pub(crate) struct Salt(Zeroizing<Vec<u8>>);

impl Salt {
    /// A new salt from the operating system's generator.
    pub(crate) fn generate() -> Self {
        let mut salt = Zeroizing::new(vec![0; SECRET]);
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

impl Keyring {
    /// Seals a person's salt under the current master key.
    pub(crate) fn seal_salt(&self, subject: Uuid, salt: &Salt) -> (KeyVersion, Vec<u8>) {
        KIND.seal(self, &context(subject), salt.expose())
    }

    /// Opens what [`Keyring::seal_salt`] made for the same person.
    pub(crate) fn open_salt(&self, subject: Uuid, slot: &[u8]) -> Result<Salt, SlotDamaged> {
        KIND.open(self, &context(subject), slot).map(Salt)
    }
}

fn context(subject: Uuid) -> Context {
    Context::of(&[Field::Id(subject)])
}

#[cfg(test)]
mod tests {
    use shared::envelope::committed::Unopened;

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
