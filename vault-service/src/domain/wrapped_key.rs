//! The wrapped data key (kind 1, 116 bytes): a data key that only this vault opens, and only for the
//! owner, person and purpose it was made for.
//!
//! ```text
//! 0 kind=0x01 · 1 suite=0x01 · 2..4 reserved 0 · 4..8 mek_version u32be · 8..24 dek_id (UUIDv7)
//! 24..36 nonce · 36..68 commitment · 68..100 ciphertext · 100..116 tag
//! PRK_s = HKDF-Extract(salt = salt_s, IKM = Kwrap_v);  context = [owner, subject, purpose]
//! ```
//! Two secrets open it: the master key (memory) and the person's salt (vault database).

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

use super::{
    keyring::{KeyVersion, Keyring},
    policy::{Purpose, Service},
    slot::Salt,
};

const HEADER: usize = 36;
const KEY: usize = 32;
/// Bytes of a wrapped key; there is no other length.
pub(crate) const WRAPPED: usize = HEADER + COMMITMENT + KEY + TAG;
const LABEL: &[u8] = b"vault/v1/wdek";
const KIND: u8 = 1;
const SUITE: u8 = 1;

/// Whose key it is and what for. A wrapped key moved to any other place does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) owner: Service,
    pub(crate) subject: Uuid,
    pub(crate) purpose: Purpose,
}

/// A data key in the clear, on its way between the cipher and the answer; wiped when dropped.
pub(crate) struct PlainKey(Zeroizing<Vec<u8>>);

impl PlainKey {
    /// 32 bytes from the operating system's generator.
    pub(crate) fn generate() -> Self {
        let mut key = Zeroizing::new(vec![0; KEY]);
        random::fill(&mut key);
        Self(key)
    }

    /// The raw key. For the cipher and for the answer to its owner, and for nothing else.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// 116 bytes of the right kind, suite and shape; whether they open is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedKey {
    bytes: [u8; WRAPPED],
    mek_version: KeyVersion,
    dek_id: Uuid,
}

/// Why a wrapped key did not open. One public answer; the log keeps them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error("malformed: {0}")]
    Malformed(Malformed),
    #[error("no such master key version: {0}")]
    UnknownVersion(KeyVersion),
    #[error(transparent)]
    Unopened(#[from] Unopened),
}

/// What about the bytes no vault ever makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    #[error("not base64url without padding")]
    Encoding,
    #[error("not 116 bytes")]
    Length,
    #[error("unknown kind")]
    Kind,
    #[error("unknown suite")]
    Suite,
    #[error("reserved bytes are not zero")]
    Reserved,
    #[error("master key version 0")]
    Version,
}

impl WrappedKey {
    /// Accepts exactly the headers that [`Keyring::wrap`] writes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: [u8; WRAPPED] = bytes.try_into().map_err(|_| Malformed::Length)?;
        let [
            kind,
            suite,
            reserved_1,
            reserved_2,
            v1,
            v2,
            v3,
            v4,
            rest @ ..,
        ] = bytes;
        if kind != KIND {
            return Err(Malformed::Kind);
        }
        if suite != SUITE {
            return Err(Malformed::Suite);
        }
        if [reserved_1, reserved_2] != [0; 2] {
            return Err(Malformed::Reserved);
        }
        let mek_version =
            KeyVersion::new(u32::from_be_bytes([v1, v2, v3, v4])).ok_or(Malformed::Version)?;
        let id = rest.first_chunk().expect("108 bytes hold 16");
        Ok(Self {
            bytes,
            mek_version,
            dek_id: Uuid::from_bytes(*id),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The master key that wrapped it, as the (authenticated only once opened) header says.
    pub(crate) fn mek_version(&self) -> KeyVersion {
        self.mek_version
    }

    /// The id of the data key, as the (authenticated only once opened) header says.
    pub(crate) fn dek_id(&self) -> Uuid {
        self.dek_id
    }

    fn parts(&self) -> (&[u8; HEADER], &[u8]) {
        self.bytes
            .split_first_chunk()
            .expect("116 bytes start with 36")
    }
}

impl Keyring {
    /// Wraps a data key for one place under the current master key, with a nonce drawn here.
    pub(crate) fn wrap(
        &self,
        salt: &Salt,
        place: &Place,
        dek_id: Uuid,
        key: &PlainKey,
    ) -> WrappedKey {
        self.wrap_with(random::nonce(), salt, (place, dek_id), key)
    }

    /// Opens what [`Keyring::wrap`] made for the same place, under whichever version it names.
    pub(crate) fn unwrap(
        &self,
        salt: &Salt,
        place: &Place,
        wrapped: &WrappedKey,
    ) -> Result<PlainKey, Refused> {
        let master = self
            .wrap_key(wrapped.mek_version)
            .ok_or(Refused::UnknownVersion(wrapped.mek_version))?;
        let (header, sealed) = wrapped.parts();
        let key = committed::open(
            &committed::extract(salt.expose(), master),
            &binding(header, &place.context()),
            sealed,
        )?;
        Ok(PlainKey(key))
    }

    fn wrap_with(
        &self,
        nonce: [u8; NONCE],
        salt: &Salt,
        (place, dek_id): (&Place, Uuid),
        key: &PlainKey,
    ) -> WrappedKey {
        let mek_version = self.current();
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&[KIND, SUITE, 0, 0]);
        header.extend_from_slice(&mek_version.number().to_be_bytes());
        header.extend_from_slice(dek_id.as_bytes());
        header.extend_from_slice(&nonce);
        let header: &[u8; HEADER] = header.first_chunk().expect("4 + 4 + 16 + 12 bytes");
        let master = self
            .wrap_key(mek_version)
            .expect("the current version is in the ring");
        let bytes = committed::seal(
            &committed::extract(salt.expose(), master),
            &binding(header, &place.context()),
            key.expose(),
        );
        WrappedKey {
            bytes: bytes.try_into().expect("36 + 32 + 32 + 16 bytes"),
            mek_version,
            dek_id,
        }
    }
}

impl Place {
    fn context(&self) -> Context {
        Context::of(&[
            Field::Name(self.owner.name()),
            Field::Id(self.subject),
            Field::Name(self.purpose.name()),
        ])
    }
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
    use proptest::prelude::*;

    use super::*;
    use crate::domain::keyring::tests::{COUNTING, ring};

    const KNOWN: &str = "01010000000000010198c0de0000700080000000000000d1000102030405060708090a0bbed08bd3\
        a93667a47957cf211f2a94149fbc0943c60d79c41cc44ff9d153f42f766db0d799c478dcd271024786de8dc403bec6ee0df5a5\
        39214ef0f0f98b184174a02be0a2581d80e03c7b073d1c28e3";
    const SUBJECT: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
    const DEK_ID: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00d1);

    fn place() -> Place {
        Place {
            owner: Service::Journal,
            subject: SUBJECT,
            purpose: Purpose::Entries,
        }
    }

    fn salt() -> Salt {
        Salt::known((0xa0..0xb0).chain(0xa0..0xb0).collect())
    }

    fn known() -> Vec<u8> {
        hex::decode(KNOWN).expect("the vector is hex")
    }

    fn open(ring: &Keyring, salt: &Salt, place: &Place, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let wrapped = WrappedKey::parse(bytes).map_err(Refused::Malformed)?;
        ring.unwrap(salt, place, &wrapped)
            .map(|key| key.expose().to_vec())
    }

    fn refusal(bytes: &[u8]) -> Option<Refused> {
        open(&ring(COUNTING), &salt(), &place(), bytes).err()
    }

    #[test]
    fn the_known_answer_is_reproduced_and_opens() {
        let key = PlainKey(Zeroizing::new((0x40..0x60).collect()));
        let nonce = std::array::from_fn(|at| u8::try_from(at).expect("12 bytes"));
        let wrapped = ring(COUNTING).wrap_with(nonce, &salt(), (&place(), DEK_ID), &key);
        assert_eq!(hex::encode(wrapped.bytes()), hex::encode(known()));
        assert_eq!(wrapped.dek_id(), DEK_ID);
        assert_eq!(
            open(&ring(COUNTING), &salt(), &place(), &known()).as_deref(),
            Ok(key.expose())
        );
        assert_eq!(WrappedKey::parse(&known()), Ok(wrapped));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        for bit in 0..WRAPPED * 8 {
            let mut changed = known();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(refusal(&changed).is_some(), "bit {bit} was not protected");
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        for length in 0..WRAPPED {
            assert_eq!(
                refusal(&known()[..length]),
                Some(Refused::Malformed(Malformed::Length))
            );
        }
        let longer = [known(), vec![0]].concat();
        assert_eq!(
            refusal(&longer),
            Some(Refused::Malformed(Malformed::Length))
        );
    }

    #[test]
    fn each_cause_is_told_apart() {
        let changed = |at: usize, to: u8| {
            let mut bytes = known();
            bytes[at] = to;
            refusal(&bytes).expect("changed bytes are refused")
        };
        assert_eq!(changed(0, 2), Refused::Malformed(Malformed::Kind));
        assert_eq!(changed(1, 0), Refused::Malformed(Malformed::Suite));
        assert_eq!(changed(2, 1), Refused::Malformed(Malformed::Reserved));
        assert_eq!(changed(3, 1), Refused::Malformed(Malformed::Reserved));
        assert_eq!(changed(7, 0), Refused::Malformed(Malformed::Version));
        let second = KeyVersion::new(2).expect("not 0");
        assert_eq!(changed(7, 2), Refused::UnknownVersion(second));
        for header_or_commitment in [8, 24, 36, 67] {
            assert_eq!(
                changed(header_or_commitment, 0xff),
                Refused::Unopened(Unopened::WrongKeyOrContext)
            );
        }
        for ciphertext_or_tag in [68, 99, 100, 115] {
            assert_eq!(
                changed(ciphertext_or_tag, 0xff),
                Refused::Unopened(Unopened::Tampered)
            );
        }
    }

    #[test]
    fn no_other_owner_person_purpose_salt_or_master_key_opens_it() {
        let wrong = Err(Refused::Unopened(Unopened::WrongKeyOrContext));
        for other in [
            Place {
                owner: Service::Identity,
                ..place()
            },
            Place {
                subject: DEK_ID,
                ..place()
            },
            Place {
                purpose: Purpose::Account,
                ..place()
            },
        ] {
            assert_eq!(open(&ring(COUNTING), &salt(), &other, &known()), wrong);
        }
        assert_eq!(
            open(&ring(COUNTING), &Salt::generate(), &place(), &known()),
            wrong
        );
        let other_ring = ring(&hex::encode(random::bytes::<32>()));
        assert_eq!(open(&other_ring, &salt(), &place(), &known()), wrong);
    }

    #[test]
    fn an_old_version_still_opens_and_the_newest_wraps() {
        let ring = ring(&format!(
            "1:{COUNTING},7:{}",
            hex::encode(random::bytes::<32>())
        ));
        assert!(open(&ring, &salt(), &place(), &known()).is_ok());
        let key = PlainKey::generate();
        let wrapped = ring.wrap(&salt(), &place(), DEK_ID, &key);
        assert_eq!(wrapped.mek_version(), ring.newest());
        assert_eq!(
            open(&ring, &salt(), &place(), wrapped.bytes()).as_deref(),
            Ok(key.expose())
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 100..130)) {
            prop_assert!(refusal(&bytes).is_some());
        }

        #[test]
        fn arbitrary_bodies_under_a_good_header_are_refused_quietly(body in prop::collection::vec(any::<u8>(), 108)) {
            let bytes = [&[1, 1, 0, 0, 0, 0, 0, 1], body.as_slice()].concat();
            prop_assert_eq!(refusal(&bytes), Some(Refused::Unopened(Unopened::WrongKeyOrContext)));
        }
    }
}
