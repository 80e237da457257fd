//! The record envelope (kind 2): one field of one revision of one record, padded and sealed.
//!
//! ```text
//! 0 kind=0x02 · 1 suite=0x01 · 2 flags (bit 0: padded) · 3 reserved 0 · 4..8 data key generation u32be
//! 8..20 nonce · 20..52 commitment · 52.. ciphertext · last 16 tag
//! ```
//! The plaintext is `u32be length || text || zeros`, up to a multiple of 64 bytes, so that a length says
//! no more than its step. Nothing is compressed: a compressed length tells what the text repeats.

use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Context, DataKey, Field,
    committed::{self, Binding, COMMITMENT, NONCE, TAG, Unopened},
};
use crate::random;

/// The longest text one envelope holds, in bytes.
const LONGEST_TEXT: usize = 1 << 20;
const STEP: usize = 64;
const HEADER: usize = 20;
const LABEL: &[u8] = b"vault/v1/rec";
const KIND: u8 = 2;
const SUITE: u8 = 1;
/// The only flag there is; nobody writes unpadded records, so nobody accepts them.
const PADDED: u8 = 1;

/// The place a record belongs to. Moving its bytes to any other place makes them unreadable.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext {
    /// The service whose data this is.
    pub owner: &'static str,
    /// The person, or the service's own thing, whose data key seals it.
    pub subject: Uuid,
    /// The kind of record, from a closed set.
    pub collection: &'static str,
    /// The field of it, from a closed set.
    pub field: &'static str,
    /// The record.
    pub record_id: Uuid,
    /// Its revision: an older one pasted over a newer one does not open.
    pub revision: u64,
}

/// A text over 1 MiB, which no envelope holds.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the text is longer than 1 MiB")]
pub struct TextTooLong;

/// Why an envelope did not open. Never retryable, and never told apart to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Not an envelope of this kind, suite, flags and shape.
    #[error("malformed envelope")]
    Malformed,
    /// Right shape, wrong key, context or bytes.
    #[error(transparent)]
    Unopened(#[from] Unopened),
}

impl DataKey {
    /// Seals one field of a record, with a nonce drawn here.
    pub fn seal(&self, context: &RecordContext, text: &[u8]) -> Result<Vec<u8>, TextTooLong> {
        self.seal_with(random::nonce(), context, text)
    }

    /// Opens what [`DataKey::seal`] made for the same place.
    pub fn open(
        &self,
        context: &RecordContext,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (header, sealed) = parse(envelope).ok_or(OpenError::Malformed)?;
        if generation(envelope) != Some(self.generation()) {
            return Err(Unopened::WrongKeyOrContext.into());
        }
        let padded = committed::open(
            &committed::extract(&[], self.expose()),
            &binding(header, &context.encode()),
            sealed,
        )?;
        unpad(padded).ok_or(OpenError::Malformed)
    }

    fn seal_with(
        &self,
        nonce: [u8; NONCE],
        context: &RecordContext,
        text: &[u8],
    ) -> Result<Vec<u8>, TextTooLong> {
        let padded = pad(text)?;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&[KIND, SUITE, PADDED, 0]);
        header.extend_from_slice(&self.generation().to_be_bytes());
        header.extend_from_slice(&nonce);
        let header: &[u8; HEADER] = header.first_chunk().expect("4 + 4 + 12 bytes were written");
        Ok(committed::seal(
            &committed::extract(&[], self.expose()),
            &binding(header, &context.encode()),
            &padded,
        ))
    }
}

/// The data key generation an envelope names; `None` when it is no record envelope.
pub fn generation(envelope: &[u8]) -> Option<u32> {
    let (header, _) = parse(envelope)?;
    let (_, rest) = header.split_first_chunk::<4>()?;
    rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl RecordContext {
    fn encode(&self) -> Context {
        Context::of(&[
            Field::Name(self.owner),
            Field::Id(self.subject),
            Field::Name(self.collection),
            Field::Name(self.field),
            Field::Id(self.record_id),
            Field::Number(self.revision),
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

/// Header and the rest, when kind, suite, flags, reserved byte and size are ones that `seal` makes.
fn parse(envelope: &[u8]) -> Option<(&[u8; HEADER], &[u8])> {
    let (header, sealed) = envelope.split_first_chunk::<HEADER>()?;
    let padded = sealed.len().checked_sub(COMMITMENT + TAG)?;
    let known = header.starts_with(&[KIND, SUITE, PADDED, 0]);
    let sized = padded >= STEP && padded.is_multiple_of(STEP) && padded <= LONGEST_TEXT + STEP;
    (known && sized).then_some((header, sealed))
}

fn pad(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, TextTooLong> {
    if text.len() > LONGEST_TEXT {
        return Err(TextTooLong);
    }
    let length = u32::try_from(text.len()).map_err(|_| TextTooLong)?;
    let mut padded = Zeroizing::new(vec![0; (4 + text.len()).next_multiple_of(STEP)]);
    let (prefix, rest) = padded.split_at_mut(4);
    prefix.copy_from_slice(&length.to_be_bytes());
    rest.iter_mut()
        .zip(text)
        .for_each(|(slot, byte)| *slot = *byte);
    Ok(padded)
}

/// In place: the text of a long record is not copied once more, and no copy has to be wiped.
fn unpad(mut padded: Zeroizing<Vec<u8>>) -> Option<Zeroizing<Vec<u8>>> {
    let (prefix, rest) = padded.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
    let (_, zeros) = rest.split_at_checked(length)?;
    let is_exact = zeros.len() < STEP && zeros.iter().all(|byte| *byte == 0);
    if !is_exact {
        return None;
    }
    padded.copy_within(4..4 + length, 0);
    padded.truncate(length);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use proptest::prelude::*;

    const KNOWN: &str = "0201010000000001101112131415161718191a1bea0a83bce2732af68ac9e426ee4f10a4\
        cf6d11882c06ff3ad9858a6e42f5504aa60f27e2fbabdb593c36480ef77ae9bc2c5f7f54c39c0fa51c5412c60a25377f5a\
        ce5031973937b4e0b32bd85478372af1381c68c3c88839d67e28cbdf51fdc7b316eba096be332bb4ec128b20a70877";

    fn key() -> DataKey {
        DataKey::from_bytes(1, &Zeroizing::new((0x40..0x60).collect())).expect("32 bytes")
    }

    fn place() -> RecordContext {
        RecordContext {
            owner: "journal",
            subject: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001),
            collection: "entry",
            field: "body",
            record_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00e1),
            revision: 1,
        }
    }

    fn known() -> Vec<u8> {
        hex::decode(KNOWN).expect("the vector is hex")
    }

    #[test]
    fn another_place_takes_as_long_to_be_refused_as_changed_bytes() {
        let sealed = key()
            .seal(&place(), &vec![b'x'; 1 << 18])
            .expect("it is short");
        let mut changed = sealed.clone();
        *changed.last_mut().expect("it is not empty") ^= 1;
        let elsewhere = RecordContext {
            revision: 2,
            ..place()
        };
        let shortest = |context, envelope: &[u8], why: Unopened| {
            let times = (0..30).map(|_| {
                let began = Instant::now();
                let opened = key().open(context, envelope);
                let took = began.elapsed();
                assert_eq!(opened.err(), Some(why.into()));
                took
            });
            times.min().expect("some were taken")
        };
        let other = shortest(&elsewhere, &sealed, Unopened::WrongKeyOrContext);
        let tampered = shortest(&place(), &changed, Unopened::Tampered);
        assert!(
            other < tampered * 2 && tampered < other * 2,
            "{other:?} and {tampered:?}"
        );
    }

    #[test]
    fn the_known_answer_is_reproduced_and_opens() {
        let nonce = std::array::from_fn(|at| 0x10 + u8::try_from(at).expect("12 bytes"));
        let envelope = key()
            .seal_with(nonce, &place(), b"Dear diary")
            .expect("short text");
        assert_eq!(hex::encode(&envelope), hex::encode(known()));
        assert_eq!(
            key().open(&place(), &known()).expect("opens").as_slice(),
            b"Dear diary"
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let envelope = known();
        for bit in 0..envelope.len() * 8 {
            let mut changed = envelope.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                key().open(&place(), &changed).is_err(),
                "bit {bit} was not protected"
            );
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        let mut longer = known();
        for length in 0..longer.len() {
            assert!(key().open(&place(), &known()[..length]).is_err());
        }
        for _ in 0..=STEP {
            longer.push(0);
            assert!(key().open(&place(), &longer).is_err());
        }
    }

    #[test]
    fn no_other_place_or_key_opens_it() {
        let elsewhere = Uuid::from_u128(9);
        let places = [
            RecordContext {
                owner: "identity",
                ..place()
            },
            RecordContext {
                subject: elsewhere,
                ..place()
            },
            RecordContext {
                collection: "pillar",
                ..place()
            },
            RecordContext {
                field: "title",
                ..place()
            },
            RecordContext {
                record_id: elsewhere,
                ..place()
            },
            RecordContext {
                revision: 2,
                ..place()
            },
        ];
        let refused = Err(OpenError::Unopened(Unopened::WrongKeyOrContext));
        for other in places {
            assert_eq!(
                key().open(&other, &known()).map(|_| ()),
                refused,
                "{other:?}"
            );
        }
        assert_eq!(
            DataKey::generate(1).open(&place(), &known()).map(|_| ()),
            refused
        );
    }

    #[test]
    fn short_texts_look_alike() {
        let lengths: Vec<_> = ["", "1", "10", "a mood in a sentence"]
            .iter()
            .map(|text| key().seal(&place(), text.as_bytes()).expect("short").len())
            .collect();
        assert_eq!(lengths, [132; 4]);
    }

    #[test]
    fn a_text_over_one_mebibyte_is_refused_and_one_of_it_is_not() {
        let mut text = vec![b'x'; LONGEST_TEXT];
        let envelope = key().seal(&place(), &text).expect("exactly the limit");
        assert_eq!(
            key().open(&place(), &envelope).expect("opens").len(),
            LONGEST_TEXT
        );
        text.push(b'x');
        assert_eq!(key().seal(&place(), &text), Err(TextTooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_and_never_seals_alike(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let (first, second) = (key().seal(&place(), &text).unwrap(), key().seal(&place(), &text).unwrap());
            prop_assert_ne!(&first, &second);
            let opened = key().open(&place(), &first).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
        }

        #[test]
        fn arbitrary_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(key().open(&place(), &bytes).is_err());
        }
    }
}
