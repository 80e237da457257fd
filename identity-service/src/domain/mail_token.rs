//! The secret in a mail: 256 random bits, of which the database keeps the hash.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use shared::random;

use super::token_type::{NotOurs, without_prefix};

/// Proves that its holder reads the mails of an address.
pub(crate) struct MailToken(SecretString);

/// What a token is mailed for. It is part of the token, so that none is taken for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MailPurpose {
    /// Confirming an address.
    Verification,
    /// Replacing a forgotten password.
    PasswordReset,
    /// Confirming another address for an account.
    AddressChange,
}

impl MailPurpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Verification => "kst_v_",
            Self::PasswordReset => "kst_p_",
            Self::AddressChange => "kst_e_",
        }
    }
}

impl MailToken {
    pub(crate) fn generate(purpose: MailPurpose) -> Self {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<32>());
        Self(format!("{}{secret}", purpose.prefix()).into())
    }

    /// What a person sent back: anything that is mailed for that is taken, and only the right one is found by its hash.
    pub(crate) fn presented(purpose: MailPurpose, text: SecretString) -> Result<Self, NotOurs> {
        without_prefix(text.expose_secret(), purpose.prefix())?;
        Ok(Self(text))
    }

    /// For the mail, and for nothing else.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What the database keeps. A plain hash is enough: 256 random bits cannot be guessed.
    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.expose()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_no_two_are_alike() {
        let token = MailToken::generate(MailPurpose::Verification);
        let again = MailToken::presented(MailPurpose::Verification, token.expose().into());
        assert_eq!(again.map(|it| it.hash()).ok(), Some(token.hash()));
        let other = MailToken::generate(MailPurpose::Verification);
        assert_ne!(other.hash(), token.hash());
        assert!(token.expose().starts_with("kst_v_") && token.expose().len() == 49);
        let reset = MailToken::generate(MailPurpose::PasswordReset);
        assert!(reset.expose().starts_with("kst_p_"));
    }

    #[test]
    fn other_kinds_of_tokens_are_named_as_such() {
        for (text, why) in [
            ("kst_p_abc", NotOurs::WrongType),
            ("a.b.c", NotOurs::WrongType),
            ("KST_V_abc", NotOurs::Invalid),
            ("", NotOurs::Invalid),
        ] {
            let presented = MailToken::presented(MailPurpose::Verification, text.into());
            assert_eq!(presented.err(), Some(why), "{text}");
        }
    }
}
