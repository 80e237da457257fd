//! An authenticator app, for tests. Written from RFC 6238, without the library that the service uses.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use time::{Duration, OffsetDateTime};

/// RFC 4648 §6.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// One step of the clock.
const STEP: Duration = Duration::seconds(30);

/// The app on a telephone.
#[derive(Clone)]
pub struct Authenticator(Vec<u8>);

impl Authenticator {
    /// Takes the secret as it is typed.
    ///
    /// # Panics
    ///
    /// When it is not in base 32.
    pub fn new(base32: &str) -> Self {
        let (mut secret, mut bits, mut held) = (Vec::new(), 0_u32, 0);
        for char in base32.bytes() {
            let value = ALPHABET.iter().position(|known| *known == char);
            let value = value.and_then(|value| u32::try_from(value).ok());
            bits = bits << 5 | value.expect("a secret is in base 32");
            held += 5;
            if held >= 8 {
                held -= 8;
                secret.push(u8::try_from(bits >> held & 0xff).expect("eight bits"));
            }
        }
        Self(secret)
    }

    /// What it shows at that moment.
    ///
    /// # Panics
    ///
    /// Never: the code of every moment is defined.
    pub fn code(&self, now: OffsetDateTime) -> String {
        let counter = now.unix_timestamp() / STEP.whole_seconds();
        let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let mac = sign(&key, &counter.to_be_bytes());
        let mac = mac.as_ref();
        let offset = usize::from(mac.last().expect("twenty bytes") & 0x0f);
        let bytes = mac.get(offset..offset + 4).expect("20 is more than 15 + 4");
        let bytes = bytes.try_into().expect("four bytes");
        let number = u32::from_be_bytes(bytes) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// Six digits that it shows at no moment near that one.
    ///
    /// # Panics
    ///
    /// Never: there are a million.
    pub fn wrong_code(&self, now: OffsetDateTime) -> String {
        let near = [-2, -1, 0, 1, 2].map(|steps| self.code(now + STEP * steps));
        let mut codes = (0..).map(|number| format!("{number:06}"));
        codes.find(|code| !near.contains(code)).expect("most are")
    }

    pub fn secret(&self) -> &[u8] {
        &self.0
    }
}
