//! The master keys in a file that opens with a passphrase, or with enough of the shares that its secret was split into.
//!
//! ```text
//! {"opener": {"passphrase": {"memory_kib": 65536, "passes": 3, "lanes": 4, "salt": "<32 hex>"}}   Argon2id, RFC 9106
//!         or {"shares": {"needed": 3, "made": 5, "set": "<16 hex>"}},                             Shamir over GF(256)
//!  "sealed": "<base64url>"}
//! sealed: 0 kind=0x04 · 1 suite=0x01 · 2..4 reserved 0 · 4..16 nonce · 16..48 commitment · ciphertext · tag
//! PRK = HKDF-Extract(salt = "", IKM = the 32 bytes of the opener);  label "vault/v1/keyring";  context = [opener]
//! ```
//! The construction is that of `shared::envelope::committed`; bound to the opener, so that its parameters cannot be
//! exchanged. The text inside is that of `MASTER_ENCRYPTION_KEY`.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use blahaj::Sharks;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use shared::{
    envelope::{
        Context, Field,
        committed::{self, Binding, NONCE},
    },
    random,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::share::{SetOfShares, Share};

/// RFC 9106 §4, the second recommended option.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for at most, so that a changed one does not exhaust the machine.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 16;
/// Bytes of a passphrase, at least.
const SHORTEST_PASSPHRASE: usize = 20;

const HEADER: usize = 4 + NONCE;
const LABEL: &[u8] = b"vault/v1/keyring";
const KIND: u8 = 4;
const SUITE: u8 = 1;

type Key = Zeroizing<[u8; 32]>;

/// Sealed master keys, and what opens them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealedKeyring {
    opener: Opener,
    sealed: String,
}

/// What opens a sealed keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Opener {
    /// Argon2id of a passphrase.
    Passphrase {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        /// 16 bytes in hexadecimal digits.
        salt: String,
    },
    /// So many of the shares.
    Shares(SetOfShares),
}

/// The passphrase or the shares are not those that the file was sealed with, or the file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("does not open")]
pub(crate) struct StaysClosed;

impl SealedKeyring {
    /// Reads a file that [`SealedKeyring::text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let keyring: Self = serde_json::from_str(text).map_err(|_| {
            "is not a sealed keyring (vault-service shares create, passphrase create)".to_owned()
        })?;
        let fits = match &keyring.opener {
            Opener::Passphrase {
                memory_kib,
                passes,
                lanes,
                salt,
            } => {
                *memory_kib <= MOST_MEMORY_KIB
                    && *passes <= MOST_PASSES
                    && *lanes <= MOST_LANES
                    && hex::decode(salt).is_ok_and(|salt| salt.len() == 16)
            }
            Opener::Shares(set) => set.is_possible(),
        };
        if fits {
            Ok(keyring)
        } else {
            Err("asks for an opener that is out of bounds".to_owned())
        }
    }

    /// The content of the file.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers") + "\n"
    }

    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Seals the text of the master keys under a passphrase.
    pub(crate) fn with_passphrase(keys: &str, passphrase: &SecretString) -> Result<Self, String> {
        if passphrase.expose_secret().len() < SHORTEST_PASSPHRASE {
            return Err(format!("is shorter than {SHORTEST_PASSPHRASE} bytes"));
        }
        let opener = Opener::Passphrase {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: hex::encode(random::bytes::<16>()),
        };
        let key = opener
            .stretched(passphrase)
            .map_err(|_| "cannot be stretched".to_owned())?;
        Ok(Self::seal(opener, &key, keys))
    }

    /// Seals the text of the master keys under a new secret, and splits that into shares.
    pub(crate) fn with_shares(
        keys: &str,
        needed: u8,
        made: u8,
    ) -> Result<(Self, Vec<Share>), String> {
        let set = SetOfShares::new(needed, made);
        if !set.is_possible() {
            return Err("wants 2 to 16 shares, of which 2 or more are needed".to_owned());
        }
        let mut secret = Key::default();
        random::fill(secret.as_mut_slice());
        let dealt = Sharks(needed).dealer(secret.as_slice());
        let shares = dealt.take(usize::from(made));
        let shares = shares.map(|share| Share::new(&set, share)).collect();
        Ok((Self::seal(Opener::Shares(set), &secret, keys), shares))
    }

    /// The text of the master keys.
    pub(crate) fn open_with_passphrase(
        &self,
        passphrase: &SecretString,
    ) -> Result<Zeroizing<String>, StaysClosed> {
        self.open(&self.opener.stretched(passphrase)?)
    }

    /// The text of the master keys, from enough shares of its set.
    pub(crate) fn open_with_shares(
        &self,
        shares: &[Share],
    ) -> Result<Zeroizing<String>, StaysClosed> {
        let Opener::Shares(set) = &self.opener else {
            return Err(StaysClosed);
        };
        let points: Vec<_> = shares.iter().map(Share::point).collect();
        let threshold = Sharks(set.needed());
        let secret = threshold.recover(&points).map(Zeroizing::new);
        let secret = secret.map_err(|_| StaysClosed)?;
        let mut key = Key::default();
        let fits = secret.len() == key.len();
        key.iter_mut()
            .zip(secret.iter())
            .for_each(|(to, from)| *to = *from);
        if fits {
            self.open(&key)
        } else {
            Err(StaysClosed)
        }
    }

    fn seal(opener: Opener, key: &Key, keys: &str) -> Self {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&[KIND, SUITE, 0, 0]);
        header.extend_from_slice(&random::nonce());
        let header: &[u8; HEADER] = header.first_chunk().expect("4 + 12 bytes");
        let bytes = committed::seal(
            &committed::extract(&[], key.as_slice()),
            &binding(header, &opener.context()),
            keys.as_bytes(),
        );
        Self {
            opener,
            sealed: BASE64_URL_SAFE_NO_PAD.encode(bytes),
        }
    }

    fn open(&self, key: &Key) -> Result<Zeroizing<String>, StaysClosed> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&self.sealed);
        let bytes = bytes.map_err(|_| StaysClosed)?;
        let (header, sealed) = bytes.split_first_chunk::<HEADER>().ok_or(StaysClosed)?;
        let [KIND, SUITE, 0, 0, ..] = *header else {
            return Err(StaysClosed);
        };
        let opened = committed::open(
            &committed::extract(&[], key.as_slice()),
            &binding(header, &self.opener.context()),
            sealed,
        );
        let opened = opened.map_err(|_| StaysClosed)?;
        let text = std::str::from_utf8(&opened).map_err(|_| StaysClosed)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

impl Opener {
    fn stretched(&self, passphrase: &SecretString) -> Result<Key, StaysClosed> {
        let Self::Passphrase {
            memory_kib,
            passes,
            lanes,
            salt,
        } = self
        else {
            return Err(StaysClosed);
        };
        let salt = hex::decode(salt).map_err(|_| StaysClosed)?;
        let mut key = Key::default();
        let params = Params::new(*memory_kib, *passes, *lanes, Some(key.len()));
        let argon2 = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            params.map_err(|_| StaysClosed)?,
        );
        let passphrase = passphrase.expose_secret().as_bytes();
        let stretched = argon2.hash_password_into(passphrase, &salt, key.as_mut_slice());
        stretched.map(|()| key).map_err(|_| StaysClosed)
    }

    fn context(&self) -> Context {
        let text = serde_json::to_string(self).expect("texts and numbers");
        Context::of(&[Field::Name(&text)])
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

    const KEYS: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const PHRASE: &str = "correct horse battery staple";

    fn reread(keyring: &SealedKeyring) -> SealedKeyring {
        SealedKeyring::parse(&keyring.text()).expect("its own file")
    }

    fn split(needed: u8, made: u8) -> (SealedKeyring, Vec<Share>) {
        SealedKeyring::with_shares(KEYS, needed, made).expect("possible")
    }

    fn some(shares: &[Share], places: &[usize]) -> Vec<Share> {
        let chosen = places.iter().filter_map(|at| shares.get(*at));
        chosen.map(Share::again).collect()
    }

    #[test]
    fn a_passphrase_opens_what_was_sealed_with_it_and_no_other_does() {
        let keyring = SealedKeyring::with_passphrase(KEYS, &PHRASE.into()).expect("long enough");
        let keyring = reread(&keyring);
        let opened = keyring.open_with_passphrase(&PHRASE.into());
        assert_eq!(opened.expect("opens").as_str(), KEYS);
        for wrong in [
            "",
            "correct horse battery stapl",
            "Correct horse battery staple",
        ] {
            let refused = keyring.open_with_passphrase(&wrong.into());
            assert_eq!(refused.err(), Some(StaysClosed), "{wrong}");
        }
        assert!(!keyring.text().contains(&KEYS[2..]));
    }

    #[test]
    fn a_short_passphrase_seals_nothing() {
        let refused = SealedKeyring::with_passphrase(KEYS, &"nineteen characters".into());
        assert!(refused.is_err());
    }

    #[test]
    fn weaker_parameters_put_into_the_file_do_not_open_it() {
        let keyring = SealedKeyring::with_passphrase(KEYS, &PHRASE.into()).expect("long enough");
        let weaker = keyring.text().replace("65536", "64");
        let weaker = SealedKeyring::parse(&weaker).expect("a possible file");
        assert!(weaker.open_with_passphrase(&PHRASE.into()).is_err());
    }

    #[test]
    fn a_file_may_ask_for_so_much_work_and_no_more() {
        let is_read = |memory_kib: u32, passes: u32, lanes: u32, salt: &str| {
            let opener = Opener::Passphrase {
                memory_kib,
                passes,
                lanes,
                salt: salt.to_owned(),
            };
            let sealed = String::new();
            SealedKeyring::parse(&SealedKeyring { opener, sealed }.text()).is_ok()
        };
        let salt = "00".repeat(16);
        assert!(is_read(1024 * 1024, 10, 16, &salt));
        assert!(!is_read(1024 * 1024 + 1, 10, 16, &salt));
        assert!(!is_read(1024 * 1024, 11, 16, &salt));
        assert!(!is_read(1024 * 1024, 10, 17, &salt));
        for salt in [&salt[2..], &salt[1..], &(salt.clone() + "00"), "salt"] {
            assert!(!is_read(65536, 3, 4, salt), "{salt}");
        }
    }

    #[test]
    fn any_three_of_five_shares_open_and_no_two_do() {
        let (keyring, shares) = split(3, 5);
        let keyring = reread(&keyring);
        for a in 0..5 {
            for b in 0..a {
                let two = keyring.open_with_shares(&some(&shares, &[a, b]));
                assert_eq!(two.err(), Some(StaysClosed));
                for c in 0..b {
                    let three = keyring.open_with_shares(&some(&shares, &[a, b, c]));
                    assert_eq!(three.expect("opens").as_str(), KEYS);
                }
            }
        }
        let same = keyring.open_with_shares(&some(&shares, &[0, 0, 0]));
        assert_eq!(same.err(), Some(StaysClosed));
        assert!(keyring.open_with_shares(&shares).is_ok());
    }

    #[test]
    fn shares_of_another_set_open_nothing() {
        let ((keyring, _), (_, others)) = (split(2, 3), split(2, 3));
        assert!(keyring.open_with_shares(&others).is_err());
    }

    #[test]
    fn impossible_numbers_of_shares_are_refused() {
        for (needed, made) in [(0, 0), (1, 1), (1, 3), (4, 3), (2, 17)] {
            assert!(
                SealedKeyring::with_shares(KEYS, needed, made).is_err(),
                "{needed} of {made}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(text in ".{0,200}") {
            let _ = SealedKeyring::parse(&text);
        }

        #[test]
        fn a_changed_file_does_not_open(at in 0_usize..4096, with in "[0-9a-zA-Z_-]") {
            let (keyring, shares) = split(2, 2);
            let text = keyring.text();
            let at = at % text.len();
            let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            if let Ok(changed) = SealedKeyring::parse(&changed) {
                // What is no part of it may read the same, such as white space.
                let same = changed.sealed == keyring.sealed && changed.opener == keyring.opener;
                prop_assert!(same || changed.open_with_shares(&shares).is_err());
            }
        }
    }
}
