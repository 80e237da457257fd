//! Everything that identity derives from its one secret: a key per use and version (HKDF, RFC 5869).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shared::{serve::Network, settings::Key256, user_id::UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{email_address::EmailAddress, recovery_code::RecoveryCode};

const SALT: &[u8] = b"identity/v1";

/// The versions of the secret, newest first: the newest makes, all verify. Holds keys: no `Debug`.
pub(crate) struct SecretKeys(Vec<Version>);

struct Version {
    number: u32,
    pepper: Key256,
    email_index: Key256,
    refresh: Key256,
    throttle: Key256,
    csrf: Key256,
    recovery: Key256,
    device: Key256,
    lockout: Key256,
    single_use: Key256,
}

impl SecretKeys {
    /// Takes what `shared::settings::versioned_keys` gives: at least one, newest first.
    pub(crate) fn new(keys: &[(u32, Key256)]) -> Self {
        Self(
            keys.iter()
                .map(|(number, key)| Version::derive(*number, key))
                .collect(),
        )
    }

    /// The version that makes new hashes.
    pub(crate) fn newest(&self) -> u32 {
        self.first().number
    }

    /// The pepper of a version; `None` when that version is no longer configured.
    pub(crate) fn pepper(&self, version: u32) -> Option<&Key256> {
        self.0
            .iter()
            .find(|known| known.number == version)
            .map(|known| &known.pepper)
    }

    /// What an address is stored under.
    pub(crate) fn email_index(&self, address: &EmailAddress) -> Vec<u8> {
        mac(
            &self.first().email_index,
            &[address.normalised().as_bytes()],
        )
    }

    /// What mail to an address is counted under.
    pub(crate) fn mail_index(&self, address: &EmailAddress) -> Vec<u8> {
        mac(
            &self.first().email_index,
            &[address.tags_as_one().as_bytes()],
        )
    }

    /// What an address may be stored under: one for each version, newest first.
    pub(crate) fn email_indexes(&self, address: &EmailAddress) -> Vec<Vec<u8>> {
        let index =
            |version: &Version| mac(&version.email_index, &[address.normalised().as_bytes()]);
        self.0.iter().map(index).collect()
    }

    /// The MAC of a refresh token under the newest key.
    pub(crate) fn refresh_mac(&self, message: &[&[u8]]) -> Vec<u8> {
        mac(&self.first().refresh, message)
    }

    /// Whether any version made this MAC; compared in constant time.
    pub(crate) fn verifies_refresh_mac(&self, message: &[&[u8]], presented: &[u8]) -> bool {
        let made_it = |version: &Version| verifies(&version.refresh, message, presented);
        self.0.iter().any(made_it)
    }

    /// What a client network is counted under in Redis, which need not know it.
    pub(crate) fn throttle_index(&self, network: Network) -> Vec<u8> {
        mac(&self.first().throttle, &[network.to_string().as_bytes()])
    }

    /// What a recovery code of that person is stored as.
    pub(crate) fn recovery_hash(&self, user: UserId, code: &RecoveryCode) -> Vec<u8> {
        self.first().recovery_hash(user, code)
    }

    /// What it may be stored as: one for each version, newest first.
    pub(crate) fn recovery_hashes(&self, user: UserId, code: &RecoveryCode) -> Vec<Vec<u8>> {
        let hash = |version: &Version| version.recovery_hash(user, code);
        self.0.iter().map(hash).collect()
    }

    /// The MAC of a device token under the newest key.
    pub(crate) fn device_mac(&self, message: &[u8]) -> Vec<u8> {
        mac(&self.first().device, &[message])
    }

    /// Whether any version made this MAC; compared in constant time.
    pub(crate) fn verifies_device_mac(&self, message: &[u8], presented: &[u8]) -> bool {
        let made_it = |version: &Version| verifies(&version.device, &[message], presented);
        self.0.iter().any(made_it)
    }

    /// What a token that is good once is stored as.
    pub(crate) fn single_use_hash(&self, token: &str) -> Vec<u8> {
        mac(&self.first().single_use, &[token.as_bytes()])
    }

    /// What it may be stored as: one for each version, newest first.
    pub(crate) fn single_use_hashes(&self, token: &str) -> Vec<Vec<u8>> {
        let hash = |version: &Version| mac(&version.single_use, &[token.as_bytes()]);
        self.0.iter().map(hash).collect()
    }

    /// What guesses at something are counted under.
    pub(crate) fn lockout_mac(&self, message: &[&[u8]]) -> Vec<u8> {
        mac(&self.first().lockout, message)
    }

    /// The CSRF token of a session, one for each version, newest first: a page whose session lives in cookies shows it
    /// with everything that changes something (OWASP CSRF Prevention, signed token bound to the session).
    pub(crate) fn csrf_tokens(&self, session: Uuid) -> impl Iterator<Item = String> {
        self.0.iter().map(move |version| {
            let mac = mac(&version.csrf, &[session.as_bytes()]);
            format!("kst_c_{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
        })
    }

    fn first(&self) -> &Version {
        self.0
            .first()
            .expect("the settings refuse an empty list of keys")
    }
}

impl Version {
    fn derive(number: u32, key: &Key256) -> Self {
        let secret = Hkdf::<Sha256>::new(Some(SALT), key.as_slice());
        let derived = |label: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            secret
                .expand(label, key.as_mut_slice())
                .expect("32 bytes is within HKDF's limit");
            key
        };
        Self {
            number,
            pepper: derived(b"identity/v1/pepper"),
            email_index: derived(b"identity/v1/email-index"),
            refresh: derived(b"identity/v1/refresh"),
            throttle: derived(b"identity/v1/throttle"),
            csrf: derived(b"identity/v1/csrf"),
            recovery: derived(b"identity/v1/recovery-code"),
            device: derived(b"identity/v1/device"),
            lockout: derived(b"identity/v1/lockout"),
            single_use: derived(b"identity/v1/single-use-token"),
        }
    }

    /// Bound to the person: a row copied to somebody else is no code of theirs.
    fn recovery_hash(&self, user: UserId, code: &RecoveryCode) -> Vec<u8> {
        let user = user.uuid();
        mac(&self.recovery, &[user.as_bytes(), code.expose().as_bytes()])
    }
}

fn mac(key: &Key256, message: &[&[u8]]) -> Vec<u8> {
    started(key, message).finalize().into_bytes().to_vec()
}

fn verifies(key: &Key256, message: &[&[u8]], presented: &[u8]) -> bool {
    started(key, message).verify_slice(presented).is_ok()
}

fn started(key: &Key256, message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC takes any key");
    for part in message {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn keys(versions: &[u32]) -> SecretKeys {
        let key = |version: &u32| {
            let byte = u8::try_from(*version).expect("a small version");
            (*version, Zeroizing::new([byte; 32]))
        };
        SecretKeys::new(&versions.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn an_older_version_still_finds_and_verifies() {
        let address = EmailAddress::parse("ada@example.com").expect("an address");
        let (before, after) = (keys(&[1]), keys(&[2, 1]));
        assert!(
            after
                .email_indexes(&address)
                .contains(&before.email_index(&address))
        );
        assert_ne!(after.email_index(&address), before.email_index(&address));
        let made = before.refresh_mac(&[b"message"]);
        assert!(after.verifies_refresh_mac(&[b"message"], &made));
        assert!(!keys(&[2]).verifies_refresh_mac(&[b"message"], &made));
        assert!(!after.verifies_refresh_mac(&[b"massage"], &made));
        assert!(after.pepper(1).is_some() && after.pepper(3).is_none());
    }

    #[test]
    fn a_recovery_code_is_of_one_person_and_survives_a_new_version() {
        let (ada, eve) = (
            UserId::new(Uuid::from_u128(1)),
            UserId::new(Uuid::from_u128(2)),
        );
        let code = RecoveryCode::generate();
        let stored = keys(&[1]).recovery_hash(ada, &code);
        let after = keys(&[2, 1]);
        assert!(after.recovery_hashes(ada, &code).contains(&stored));
        assert!(!after.recovery_hashes(eve, &code).contains(&stored));
        let other = RecoveryCode::generate();
        assert!(!after.recovery_hashes(ada, &other).contains(&stored));
        assert_ne!(after.recovery_hash(ada, &code), stored);
    }

    #[test]
    fn every_use_has_a_key_of_its_own() {
        let version = Version::derive(1, &Zeroizing::new([1; 32]));
        let keys = [
            &version.pepper,
            &version.email_index,
            &version.refresh,
            &version.throttle,
            &version.csrf,
            &version.recovery,
            &version.device,
            &version.lockout,
            &version.single_use,
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(at + 1).all(|other| other != key));
        }
    }
}
