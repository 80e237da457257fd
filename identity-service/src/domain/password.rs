//! Passwords: what is acceptable, and the only place that hashes.
//!
//! `bcrypt(cost, base64(HMAC-SHA-256(pepper, user id || NFC(password))))`: bcrypt alone ignores everything after 72
//! bytes and takes a NUL for the end; 44 characters of base64 have neither trap, and without the pepper,
//! which is in no database, a stolen hash cannot even be guessed at. With the id in it, a hash that somebody with
//! access to the table copies to another account is of no password there.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use shared::{problem::FieldError, settings::Key256, user_id::UserId};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{email_address::EmailAddress, password_advice::advice};

/// The longest password, in bytes of its NFC form: beyond it nobody types and hashing input is abuse.
const LONGEST: usize = 1024;
/// The lowest cost that is not a toy (OWASP Password Storage: 10).
pub(crate) const LOWEST_COST: u32 = 10;
/// The highest cost that is accepted, from settings or from a stored hash: about 4 s a hash.
pub(crate) const HIGHEST_COST: u32 = 16;

/// A password in NFC, so that two keyboards that compose differently type the same one.
pub(crate) struct Password(SecretString);

impl Password {
    /// A password to compare: nothing is demanded of it, since it may have been chosen under older rules.
    pub(crate) fn presented(text: &SecretString) -> Self {
        Self(text.expose_secret().nfc().collect::<String>().into())
    }

    /// A password to set, or what is wrong with it, said of the field that it came in (NIST SP 800-63B-4 §3.1.1:
    /// length, not composition).
    pub(crate) fn chosen(
        field: &str,
        text: &SecretString,
        shortest: usize,
        address: Option<&EmailAddress>,
    ) -> Result<Self, Vec<FieldError>> {
        let password = Self::presented(text);
        let secret = password.0.expose_secret();
        let wrong = |message, code| Err(vec![FieldError::body(field, message).coded(code)]);
        if secret.len() < shortest {
            return wrong(format!("is shorter than {shortest} bytes"), "too_short");
        }
        if secret.len() > LONGEST {
            return wrong(format!("is longer than {LONGEST} bytes"), "too_long");
        }
        let advice = advice(field, secret, address);
        if advice.is_empty() {
            Ok(password)
        } else {
            Err(advice)
        }
    }

    /// Whether both are the same text. Not in constant time: for two that came in one request.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }

    /// The string to store. Takes about a quarter of a second at cost 12: never on an async thread.
    pub(crate) fn hash(&self, owner: UserId, pepper: &Key256, cost: u32) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that hashes; 44 bytes, no NUL"
        )]
        let hash = bcrypt::hash(self.peppered(owner, pepper), cost);
        hash.expect("the settings keep the cost within bcrypt's range")
    }

    /// Whether `hash` is of this password and this account; in constant time for a given cost. A malformed hash, or one of
    /// a cost that would take minutes, is of no password.
    pub(crate) fn matches(&self, owner: UserId, pepper: &Key256, hash: &str) -> bool {
        if cost_of(hash).is_none_or(|cost| cost > HIGHEST_COST) {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that compares; 44 bytes, no NUL"
        )]
        let verified = bcrypt::verify(self.peppered(owner, pepper), hash);
        verified.unwrap_or(false)
    }

    fn peppered(&self, owner: UserId, pepper: &Key256) -> Zeroizing<String> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(pepper.as_slice()).expect("HMAC takes any key");
        mac.update(owner.uuid().as_bytes());
        mac.update(self.0.expose_secret().as_bytes());
        let digest = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        Zeroizing::new(BASE64_STANDARD.encode(digest.as_slice()))
    }
}

/// The cost that a bcrypt string names.
pub(crate) fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

/// A hash of no password: comparing with it takes what comparing with a real one takes. Written down, not
/// computed, because a hash at start-up would take longer than the rest of it.
pub(crate) fn dummy_hash(cost: u32) -> String {
    format!("$2b${cost:02}${:.<53}", "")
}

/// What is still to be compared with after `stored`, the hash of an account if there is one, so that every login
/// takes as long as a compare at `cost`: nothing for a hash of today, all of it where there is no hash, and for one
/// of a lower cost the steps in between (2^4 + 2^4 + 2^5 = 2^6). Accounts that nobody has used since the cost was raised
/// would otherwise be told by their quick answers. No stored hash is to be of a higher cost.
pub(crate) fn missing_work(stored: Option<&str>, cost: u32) -> impl Iterator<Item = String> {
    let spent = stored
        .and_then(cost_of)
        .filter(|spent| *spent <= HIGHEST_COST);
    let whole = spent.is_none().then(|| dummy_hash(cost));
    let steps = spent.map_or(0..0, |spent| spent..cost).map(dummy_hash);
    whole.into_iter().chain(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const COST: u32 = 4;

    fn pepper(byte: u8) -> Key256 {
        Zeroizing::new([byte; 32])
    }

    fn owner(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    fn presented(text: &str) -> Password {
        Password::presented(&text.into())
    }

    fn chosen(text: &str) -> Result<Password, Vec<FieldError>> {
        let ada = EmailAddress::parse("ada.lovelace@example.com").expect("an address");
        Password::chosen("password", &text.into(), 15, Some(&ada))
    }

    #[test]
    fn length_counts_and_composition_does_not() {
        assert!(chosen("a difference engine of my own").is_ok());
        for wrong in [
            "short but odd!",
            &"x".repeat(1025),
            "passwordpassword",
            // Long, and one step short of hard: a name and a date.
            "superman19871231",
            "ada.lovelace@example.com",
            "",
        ] {
            for error in chosen(wrong).err().expect("refused") {
                assert_eq!(error.pointer, "#/password");
                assert!(
                    wrong.is_empty() || !error.message.contains(wrong),
                    "{}",
                    error.message
                );
            }
        }
    }

    #[test]
    fn a_password_of_1024_bytes_is_the_longest() {
        let numbers = (1..400_u32).map(|number| (number * 7919).to_string());
        let text: String = numbers.collect();
        assert!(chosen(&text[..1024]).is_ok());
        let error = chosen(&text[..1025]).err().expect("refused");
        assert_eq!(error[0].message, "is longer than 1024 bytes");
    }

    #[test]
    fn what_bcrypt_alone_would_confuse_stays_distinct() {
        let long = "a".repeat(72);
        let pairs = [
            (format!("{long}b"), format!("{long}c")),
            (long.clone(), format!("{long}a")),
            ("ab".to_owned(), "ab\0ab".to_owned()),
            (String::new(), "\0".to_owned()),
        ];
        for (one, other) in pairs {
            let hash = presented(&one).hash(owner(1), &pepper(1), COST);
            assert!(presented(&one).matches(owner(1), &pepper(1), &hash));
            assert!(
                !presented(&other).matches(owner(1), &pepper(1), &hash),
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_hash_is_useless_without_its_pepper() {
        let hash = presented("a difference engine of my own").hash(owner(1), &pepper(1), COST);
        assert!(!presented("a difference engine of my own").matches(owner(1), &pepper(2), &hash));
    }

    #[test]
    fn a_hash_is_of_no_password_in_another_account() {
        let hash = presented("a difference engine of my own").hash(owner(1), &pepper(1), COST);
        assert!(!presented("a difference engine of my own").matches(owner(2), &pepper(1), &hash));
    }

    #[test]
    fn two_ways_of_composing_a_letter_are_one_password() {
        let hash = presented("zo\u{e9} de la gare").hash(owner(1), &pepper(1), COST);
        assert!(presented("zoe\u{301} de la gare").matches(owner(1), &pepper(1), &hash));
    }

    #[test]
    fn the_dummy_is_a_hash_of_the_cost_asked_for_and_of_no_password() {
        assert_eq!(
            (cost_of(&dummy_hash(4)), cost_of(&dummy_hash(12))),
            (Some(4), Some(12))
        );
        assert_eq!(dummy_hash(4).len(), 60);
        // It must be hashed against, not refused as malformed: that would take no time and tell.
        #[expect(clippy::disallowed_methods, reason = "asks bcrypt itself")]
        let compared = bcrypt::verify("anything", &dummy_hash(4));
        assert!(matches!(compared, Ok(false)), "{compared:?}");
    }

    #[test]
    fn every_login_costs_what_the_settings_say() {
        let work = |hash: &str| 1u64 << cost_of(hash).expect("a hash");
        for cost in 5..=HIGHEST_COST {
            for spent in 4..=cost {
                let stored = dummy_hash(spent);
                let missing: u64 = missing_work(Some(&stored), cost)
                    .map(|hash| work(&hash))
                    .sum();
                assert_eq!(work(&stored) + missing, 1 << cost);
            }
            for none in [None, Some("nonsense"), Some(dummy_hash(31).as_str())] {
                let dummies: Vec<_> = missing_work(none, cost).collect();
                assert_eq!(dummies, [dummy_hash(cost)]);
            }
        }
        // Lowered since: nothing can be taken back.
        assert_eq!(missing_work(Some(&dummy_hash(12)), 10).count(), 0);
    }

    #[test]
    fn a_stored_hash_cannot_ask_for_minutes() {
        assert!(!presented("anything").matches(owner(1), &pepper(1), &dummy_hash(31)));
        assert!(!presented("anything").matches(owner(1), &pepper(1), "nonsense"));
    }
}
