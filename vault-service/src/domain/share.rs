//! Shares of the secret that opens a sealed keyring, as people keep and type them.
//!
//! ```text
//! keystead-share-<set, 16 hex>-<number, 2 hex>-<64 hex>-<check, 8 hex>
//! check = the first four bytes of SHA-256 of everything before it
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::random;
use thiserror::Error;
use zeroize::Zeroizing;

const PREFIX: &str = "keystead-share";
/// Shares of one set at most.
const MOST: u8 = 16;

/// Which shares belong together, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetOfShares {
    needed: u8,
    made: u8,
    /// 8 random bytes in hexadecimal digits. No secret.
    set: String,
}

impl SetOfShares {
    pub(crate) fn new(needed: u8, made: u8) -> Self {
        Self {
            needed,
            made,
            set: hex::encode(random::bytes::<8>()),
        }
    }

    pub(crate) fn needed(&self) -> u8 {
        self.needed
    }

    /// One share alone would be a passphrase that is written down.
    pub(crate) fn is_possible(&self) -> bool {
        (2..=self.made).contains(&self.needed) && self.made <= MOST && self.set.len() == 16
    }
}

/// One share. Wiped when dropped; neither printed nor compared.
pub(crate) struct Share {
    set: String,
    point: blahaj::Share,
}

/// Why a text is no share that helps. Says nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotAShare {
    #[error("is not a share")]
    Shape,
    #[error("has a typing error")]
    Check,
    #[error("is a share of another set")]
    OtherSet,
}

impl Share {
    pub(super) fn new(set: &SetOfShares, point: blahaj::Share) -> Self {
        Self {
            set: set.set.clone(),
            point,
        }
    }

    /// Reads a share of that set as it was typed.
    pub(crate) fn parse(text: &str, set: &SetOfShares) -> Result<Self, NotAShare> {
        let text = text.trim();
        let (body, typed) = text.rsplit_once('-').ok_or(NotAShare::Shape)?;
        let rest = body
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('-'));
        let mut parts = rest.ok_or(NotAShare::Shape)?.split('-');
        let (Some(name), Some(number), Some(value), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAShare::Shape);
        };
        if check(body) != typed {
            return Err(NotAShare::Check);
        }
        if name != set.set {
            return Err(NotAShare::OtherSet);
        }
        let bytes = Zeroizing::new(format!("{number}{value}"));
        let bytes = Zeroizing::new(hex::decode(bytes.as_bytes()).map_err(|_| NotAShare::Shape)?);
        // The first byte is the number; at 0 lies the secret itself.
        let is_one = bytes.len() == 33 && bytes.first().is_some_and(|number| *number > 0);
        let point = blahaj::Share::try_from(bytes.as_slice()).map_err(|_| NotAShare::Shape)?;
        if is_one {
            Ok(Self {
                set: name.to_owned(),
                point,
            })
        } else {
            Err(NotAShare::Shape)
        }
    }

    /// What is handed to the person who keeps it.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(Vec::from(&self.point));
        let (number, value) = bytes.split_at_checked(1).unwrap_or_default();
        let value = Zeroizing::new(hex::encode(value));
        let number = hex::encode(number);
        let body = Zeroizing::new(format!("{PREFIX}-{}-{number}-{}", self.set, value.as_str()));
        Zeroizing::new(format!("{}-{}", body.as_str(), check(&body)))
    }

    pub(super) fn point(&self) -> blahaj::Share {
        self.point.clone()
    }

    /// Whether it belongs to that set.
    pub(crate) fn is_of(&self, set: &SetOfShares) -> bool {
        self.set == set.set
    }

    /// Whether both are the share of one person.
    pub(crate) fn has_the_number_of(&self, other: &Self) -> bool {
        self.point.x == other.point.x
    }

    #[cfg(test)]
    pub(super) fn again(&self) -> Self {
        Self {
            set: self.set.clone(),
            point: self.point.clone(),
        }
    }
}

fn check(body: &str) -> String {
    let digest = Sha256::digest(body);
    digest
        .first_chunk::<4>()
        .map(hex::encode)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sealed_keyring::{Opener, SealedKeyring};

    fn dealt() -> (SetOfShares, Vec<Share>) {
        let (keyring, shares) = SealedKeyring::with_shares("keys", 2, 3).expect("possible");
        let Opener::Shares(set) = keyring.opener() else {
            panic!("it was sealed with shares");
        };
        (set.clone(), shares)
    }

    #[test]
    fn a_share_reads_back_with_the_white_space_of_whoever_typed_it() {
        let (set, shares) = dealt();
        for share in &shares {
            let text = share.text();
            let read = Share::parse(&format!("  {}\n", text.as_str()), &set);
            let read = read
                .map_err(|error| error.to_string())
                .expect("its own text");
            assert_eq!(*read.text(), *text);
            assert!(read.has_the_number_of(share));
        }
    }

    #[test]
    fn every_typing_error_is_noticed_before_it_spoils_the_others() {
        let (set, shares) = dealt();
        let text = shares[0].text();
        for at in 0..text.len() {
            for with in ["0", "f", "-", ""] {
                let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
                if changed != *text {
                    assert!(Share::parse(&changed, &set).is_err(), "at {at}: {with}");
                }
            }
        }
    }

    #[test]
    fn a_share_of_another_set_and_one_with_the_secret_in_it_are_told_apart() {
        let ((set, _), (_, others)) = (dealt(), dealt());
        let told = Share::parse(&others[0].text(), &set).err();
        assert_eq!(told, Some(NotAShare::OtherSet));
        let body = format!("{PREFIX}-{}-00-{}", set.set, "ab".repeat(32));
        let zero = format!("{body}-{}", check(&body));
        assert_eq!(Share::parse(&zero, &set).err(), Some(NotAShare::Shape));
    }
}
