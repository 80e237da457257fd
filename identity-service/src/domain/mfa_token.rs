//! What stands for a right password until the second factor has been shown: 256 random bits, of which the
//! database keeps the hash.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use shared::random;
use zeroize::Zeroizing;

use super::token_type::{NotOurs, without_prefix};

const PREFIX: &str = "kst_m_";

/// Opens nothing by itself.
pub(crate) struct MfaToken(SecretString);

impl MfaToken {
    pub(crate) fn generate() -> Self {
        let secret = Zeroizing::new(random::bytes::<32>());
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Self(format!("{PREFIX}{}", secret.as_str()).into())
    }

    /// Anything of this type is taken; only the right one is found by its hash.
    pub(crate) fn presented(text: SecretString) -> Result<Self, NotOurs> {
        without_prefix(text.expose_secret(), PREFIX)?;
        Ok(Self(text))
    }

    /// For the answer to a login, and for nothing else.
    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }

    /// What the database keeps. A plain hash is enough: 256 random bits cannot be guessed.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.expose_secret()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_no_two_are_alike() {
        let token = MfaToken::generate();
        let hash = token.hash();
        let text = token.into_secret();
        assert!(text.expose_secret().starts_with("kst_m_") && text.expose_secret().len() == 49);
        assert_eq!(
            MfaToken::presented(text).map(|token| token.hash()).ok(),
            Some(hash.clone())
        );
        assert_ne!(MfaToken::generate().hash(), hash);
    }

    #[test]
    fn other_kinds_of_tokens_are_named_as_such() {
        for (text, why) in [
            ("kst_r_abc", NotOurs::WrongType),
            ("a.b.c", NotOurs::WrongType),
            ("", NotOurs::Invalid),
        ] {
            assert_eq!(MfaToken::presented(text.into()).err(), Some(why), "{text}");
        }
    }
}
