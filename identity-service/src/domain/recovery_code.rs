//! Recovery codes: what a person writes down for the day their authenticator is gone.

use secrecy::{ExposeSecret, SecretString};
use shared::random;
use zeroize::Zeroizing;

/// Crockford's base 32: no letter that is taken for a digit or another letter.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 60 bits: nobody guesses one through the service, and without its key nobody can test one elsewhere.
const LENGTH: usize = 12;
/// Characters between two hyphens.
const GROUP: usize = 4;
/// How many a person gets at once.
pub(crate) const CODES: usize = 10;

/// A code without its hyphens, in the one spelling that is hashed. No `Debug`.
pub(crate) struct RecoveryCode(SecretString);

impl RecoveryCode {
    pub(crate) fn generate() -> Self {
        let mut text = String::with_capacity(LENGTH);
        let bytes = Zeroizing::new(random::bytes::<LENGTH>());
        // 256 is a multiple of 32, so every character is as likely as any other.
        let drawn = bytes.iter().map(|byte| usize::from(*byte) % ALPHABET.len());
        text.extend(
            drawn
                .filter_map(|at| ALPHABET.get(at))
                .map(|it| char::from(*it)),
        );
        Self(text.into())
    }

    /// Reads a code as a person types it: with or without hyphens, in either case, and with the letters that
    /// look like digits (o, i, l) for these digits. `None` when it cannot be a code.
    pub(crate) fn parse(text: &SecretString) -> Option<Self> {
        let mut code = Zeroizing::new(String::with_capacity(LENGTH));
        for char in text.expose_secret().chars() {
            let char = match char.to_ascii_lowercase() {
                '-' | ' ' => continue,
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            let known = u8::try_from(char).is_ok_and(|byte| ALPHABET.contains(&byte));
            if !known || code.len() == LENGTH {
                return None;
            }
            code.push(char);
        }
        (code.len() == LENGTH).then(|| Self(code.as_str().into()))
    }

    /// As it is shown once, in groups.
    pub(crate) fn shown(&self) -> SecretString {
        let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
        for (at, char) in self.expose().chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char);
        }
        text.into()
    }

    /// For the hash, and for nothing else.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn parsed(text: &str) -> Option<String> {
        RecoveryCode::parse(&text.into()).map(|code| code.expose().to_owned())
    }

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let expected = Some("01ab1c0dwxyz".to_owned());
        for typed in [
            "01ab-1c0d-wxyz",
            "01AB1C0DWXYZ",
            " o1ab-icod-wxyz ",
            "0LAB 1C0D WXYZ",
        ] {
            assert_eq!(parsed(typed), expected, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        for typed in [
            "",
            "01ab-1c0d-wxy",
            "01ab-1c0d-wxyz0",
            "u1ab-1c0d-wxyz",
            "01ab-1c0d-wxy\u{212a}",
            "01ab_1c0d_wxyz",
            "123456",
        ] {
            assert_eq!(parsed(typed), None, "{typed}");
        }
    }

    #[test]
    fn codes_are_shown_in_groups_and_use_the_whole_alphabet() {
        let codes: Vec<_> = (0..500).map(|_| RecoveryCode::generate()).collect();
        let shown = codes.first().expect("one").shown();
        let shown = shown.expose_secret();
        assert_eq!((shown.len(), shown.matches('-').count()), (14, 2));
        assert_eq!(
            parsed(shown).as_deref(),
            codes.first().map(RecoveryCode::expose)
        );
        let used: HashSet<_> = codes
            .iter()
            .flat_map(|code| code.expose().chars())
            .collect();
        assert_eq!(used.len(), ALPHABET.len());
        let distinct: HashSet<_> = codes.iter().map(RecoveryCode::expose).collect();
        assert_eq!(distinct.len(), codes.len());
    }
}
