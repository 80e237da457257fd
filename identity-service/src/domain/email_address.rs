//! An e-mail address: parsed once, compared in its normalised form, mailed as it was typed.

use email_address::{EmailAddress as Syntax, Options};
use unicode_normalization::UnicodeNormalization;

/// The longest address that SMTP can carry, in bytes (RFC 5321 §4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

/// Personal data: no `Debug`.
#[derive(Clone)]
pub(crate) struct EmailAddress {
    typed: String,
    normalised: String,
}

impl EmailAddress {
    /// A bare `local@domain.tld`; no display name, no address literal, no control characters.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Composed before anything else looks at it: a sign that merely looks like a letter (the Kelvin sign)
        // must not be another mailbox here and the same account there.
        let typed: String = text.trim().nfc().collect();
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        let fits = typed.len() <= LONGEST && !typed.chars().any(char::is_control);
        if !fits || Syntax::parse_with_options(&typed, options).is_err() {
            return None;
        }
        Some(Self {
            normalised: typed.chars().flat_map(char::to_lowercase).nfc().collect(),
            typed,
        })
    }

    /// As its owner wrote it: where mail goes.
    pub(crate) fn typed(&self) -> &str {
        &self.typed
    }

    /// What makes two spellings one mailbox: NFC, lower case. Mailboxes that differ in case alone exist in
    /// RFC 5321 and nowhere else, and would let two people share what one of them believes to be theirs.
    pub(crate) fn normalised(&self) -> &str {
        &self.normalised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_make_no_difference() {
        let one = EmailAddress::parse(" Zo\u{eb}@Example.COM ").expect("an address");
        let other = EmailAddress::parse("zoe\u{308}@example.com").expect("an address");
        assert_eq!(one.normalised(), other.normalised());
        assert_eq!(one.typed(), "Zo\u{eb}@Example.COM");
    }

    #[test]
    fn a_sign_that_looks_like_a_letter_is_mailed_as_the_letter_it_is_taken_for() {
        let kelvin = EmailAddress::parse("\u{212a}ate@example.com").expect("an address");
        assert_eq!(kelvin.typed(), "Kate@example.com");
        assert_eq!(kelvin.normalised(), "kate@example.com");
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for wrong in [
            "",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "Ada <ada@example.com>",
            "ada@[127.0.0.1]",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@exam\0ple.com",
            "ada@example.com, eve@example.com",
            &long,
        ] {
            assert!(EmailAddress::parse(wrong).is_none(), "accepted {wrong:?}");
        }
    }
}
