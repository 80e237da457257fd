//! Tokens that are good once: mailed to an address, or given for a right password until the second factor is shown.
//!
//! A token names its subject beside 256 random bits, and the database keeps a MAC of all of it: whoever may write rows
//! there can neither make one up nor let one that was mailed to them count for somebody else.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use shared::random;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    secret_keys::SecretKeys,
    token_type::{NotOurs, without_prefix},
};

/// What a token is for. It is part of the token, so that none is taken for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Confirming the address of a sign-up, which is the subject.
    Verification,
    /// Replacing the forgotten password of an account, which is the subject.
    PasswordReset,
    /// Confirming another address for an account; the subject is the change.
    AddressChange,
    /// Showing the second factor of an account, which is the subject, after its password. Opens nothing by itself.
    SecondFactor,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Verification => "kst_v_",
            Self::PasswordReset => "kst_p_",
            Self::AddressChange => "kst_e_",
            Self::SecondFactor => "kst_m_",
        }
    }
}

/// Prefix, then in base64url: 16 bytes subject, 32 random bytes. No `Debug`.
pub(crate) struct SingleUseToken {
    text: SecretString,
    subject: Uuid,
}

/// What a token that came back is looked for by.
pub(crate) struct Sought {
    pub(crate) subject: Uuid,
    /// One for each version of the secret.
    pub(crate) hashes: Vec<Vec<u8>>,
}

impl SingleUseToken {
    pub(crate) fn generate(purpose: Purpose, subject: Uuid) -> Self {
        let mut bytes = Zeroizing::new([0; 48]);
        let (said, secret) = bytes.split_at_mut(16);
        said.copy_from_slice(subject.as_bytes());
        secret.copy_from_slice(Zeroizing::new(random::bytes::<32>()).as_slice());
        let encoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Self {
            text: format!("{}{}", purpose.prefix(), encoded.as_str()).into(),
            subject,
        }
    }

    /// What a person sent back, if it looks like one for that.
    pub(crate) fn presented(purpose: Purpose, text: SecretString) -> Result<Self, NotOurs> {
        let encoded = without_prefix(text.expose_secret(), purpose.prefix())?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| NotOurs::Invalid)?;
        let (said, secret) = bytes.split_first_chunk::<16>().ok_or(NotOurs::Invalid)?;
        if secret.len() != 32 {
            return Err(NotOurs::Invalid);
        }
        let subject = Uuid::from_bytes(*said);
        Ok(Self { text, subject })
    }

    /// For its one holder, and for nothing else.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The same, for an answer.
    pub(crate) fn into_secret(self) -> SecretString {
        self.text
    }

    /// What the database keeps.
    pub(crate) fn hash(&self, keys: &SecretKeys) -> Vec<u8> {
        keys.single_use_hash(self.expose())
    }

    /// What the database may have kept.
    pub(crate) fn sought(&self, keys: &SecretKeys) -> Sought {
        Sought {
            subject: self.subject,
            hashes: keys.single_use_hashes(self.expose()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret_keys::tests::keys;

    const ADA: Uuid = Uuid::from_u128(1);

    #[test]
    fn what_comes_back_is_found_under_every_version_of_the_secret_and_no_two_are_alike() {
        let token = SingleUseToken::generate(Purpose::PasswordReset, ADA);
        assert!(token.expose().starts_with("kst_p_") && token.expose().len() == 70);
        let kept = token.hash(&keys(&[1]));
        let again = SingleUseToken::presented(Purpose::PasswordReset, token.into_secret());
        let again = again.expect("it is one");
        let sought = again.sought(&keys(&[2, 1]));
        assert_eq!(sought.subject, ADA);
        assert!(sought.hashes.contains(&kept));
        assert!(!again.sought(&keys(&[2])).hashes.contains(&kept));
        let other = SingleUseToken::generate(Purpose::PasswordReset, ADA);
        assert_ne!(other.hash(&keys(&[1])), kept);
    }

    #[test]
    fn other_kinds_of_tokens_are_named_as_such() {
        let reset = SingleUseToken::generate(Purpose::PasswordReset, ADA);
        let verification = reset.expose().replacen("kst_p_", "kst_v_", 1);
        for (text, why) in [
            (reset.expose(), NotOurs::WrongType),
            ("kst_m_abc", NotOurs::WrongType),
            ("a.b.c", NotOurs::WrongType),
            ("KST_V_abc", NotOurs::Invalid),
            ("kst_v_", NotOurs::Invalid),
            ("kst_v_AAAA", NotOurs::Invalid),
            (&verification[..69], NotOurs::Invalid),
            (&format!("{verification}AA"), NotOurs::Invalid),
            (&format!("{verification}="), NotOurs::Invalid),
            ("", NotOurs::Invalid),
        ] {
            let presented = SingleUseToken::presented(Purpose::Verification, text.into());
            assert_eq!(presented.err(), Some(why), "{text}");
        }
    }
}
