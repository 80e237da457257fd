//! An e-mail address: parsed once, compared in its normalised form, mailed to the name that DNS knows.

use std::borrow::Cow;

use email_address::{EmailAddress as Syntax, Options};
use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};
use unicode_normalization::UnicodeNormalization;

/// The longest address that SMTP can carry, in bytes (RFC 5321 §4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

/// Personal data: no `Debug`.
#[derive(Clone)]
pub(crate) struct EmailAddress {
    typed: String,
    mailbox: String,
    normalised: String,
}

impl EmailAddress {
    /// A bare `local@domain.tld`; no display name, no quoted local part, no address literal, no control
    /// characters.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let typed = composed(text);
        let (local, domain) = typed.rsplit_once('@')?;
        // `"ada"@…` and `ada@…` are one mailbox to SMTP: whoever takes both must unquote. Nobody has one.
        if local.starts_with('"') {
            return None;
        }
        let domain = in_ascii(domain)?;
        let mailbox = format!("{local}@{domain}");
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        let fits = typed.len() <= LONGEST && mailbox.len() <= LONGEST;
        let control = mailbox.chars().any(char::is_control);
        if !fits || control || Syntax::parse_with_options(&mailbox, options).is_err() {
            return None;
        }
        Some(Self {
            normalised: lower(&mailbox),
            typed,
            mailbox,
        })
    }

    /// As its owner wrote it: what they are shown.
    pub(crate) fn typed(&self) -> &str {
        &self.typed
    }

    /// Where mail goes: the local part as its owner wrote it, at the domain as DNS has it, so that nobody on the
    /// way reads the domain differently than the look-up does.
    pub(crate) fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// What counts mail to it: all tags of one mailbox (`ada+books@…`) are one, and apart from the mailbox without a
    /// tag, so that whoever makes up tags fills no mailbox and keeps nobody's own mail back.
    pub(crate) fn tags_as_one(&self) -> String {
        let (local, domain) = self.normalised.rsplit_once('@').unwrap_or_default();
        match local.split_once('+') {
            Some((name, _)) => format!("{name}+@{domain}"),
            None => self.normalised.clone(),
        }
    }

    /// What makes two spellings one mailbox: NFC, lower case, the domain in ASCII. Mailboxes that differ in case
    /// alone exist in RFC 5321 and nowhere else, and would let two people share what one of them believes to be
    /// theirs.
    pub(crate) fn normalised(&self) -> &str {
        &self.normalised
    }
}

/// What makes two texts one, whether they are addresses or not: [`EmailAddress::normalised`] of an address.
pub(crate) fn normalised(text: &str) -> String {
    match EmailAddress::parse(text) {
        Some(address) => address.normalised,
        None => lower(&composed(text)),
    }
}

/// Composed before anything else looks at it: a sign that merely looks like a letter (the Kelvin sign) must not be
/// another mailbox here and the same account there.
fn composed(text: &str) -> String {
    text.trim().nfc().collect()
}

fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).nfc().collect()
}

/// The domain as it stands in DNS (UTS #46, not transitional; RFC 5891): `bücher.de` is `xn--bcher-kva.de`.
fn in_ascii(domain: &str) -> Option<String> {
    let ascii = Uts46::new().to_ascii(
        domain.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    ascii.ok().map(Cow::into_owned)
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
        assert_eq!(one.mailbox(), "Zo\u{eb}@example.com");
    }

    #[test]
    fn a_sign_that_looks_like_a_letter_is_mailed_as_the_letter_it_is_taken_for() {
        let kelvin = EmailAddress::parse("\u{212a}ate@example.com").expect("an address");
        assert_eq!(kelvin.typed(), "Kate@example.com");
        assert_eq!(kelvin.normalised(), "kate@example.com");
    }

    #[test]
    fn spellings_of_one_mailbox_are_one_address_and_others_are_not() {
        let one = |text| EmailAddress::parse(text).map(|address| address.normalised);
        for (spelling, normalised) in [
            ("ada@bücher.de", "ada@xn--bcher-kva.de"),
            ("ada@xn--bcher-kva.de", "ada@xn--bcher-kva.de"),
            ("Ada@XN--BCHER-KVA.DE", "ada@xn--bcher-kva.de"),
            ("ada@BÜCHER.de", "ada@xn--bcher-kva.de"),
            ("ada@bu\u{308}cher.de", "ada@xn--bcher-kva.de"),
            // Full width letters and the ideographic full stop.
            ("ada@\u{ff42}\u{fc}cher\u{3002}de", "ada@xn--bcher-kva.de"),
            ("ada@bucher.de", "ada@bucher.de"),
            // Two domains, which may belong to two people (UTS #46 without the transition of 2003).
            ("ada@fa\u{df}.de", "ada@xn--fa-hia.de"),
            ("ada@fass.de", "ada@fass.de"),
            // What a provider makes of dots and tags is the provider's: other mailboxes to us.
            ("ada+books@example.com", "ada+books@example.com"),
            ("a.d.a@example.com", "a.d.a@example.com"),
            ("zo\u{eb}@example.com", "zo\u{eb}@example.com"),
        ] {
            assert_eq!(one(spelling).as_deref(), Some(normalised), "{spelling}");
        }
    }

    #[test]
    fn all_tags_of_a_mailbox_count_as_one_and_apart_from_the_mailbox_itself() {
        let counted = |text| EmailAddress::parse(text).map(|address| address.tags_as_one());
        for (address, counts_as) in [
            ("ada+books@example.com", "ada+@example.com"),
            ("ADA+1+2@example.com", "ada+@example.com"),
            ("ada+@example.com", "ada+@example.com"),
            ("ada@example.com", "ada@example.com"),
            ("+ada@example.com", "+@example.com"),
        ] {
            assert_eq!(counted(address).as_deref(), Some(counts_as), "{address}");
        }
    }

    #[test]
    fn mail_goes_to_the_domain_that_was_compared_and_the_owner_sees_what_they_typed() {
        let address = EmailAddress::parse("Ada@Bücher.de").expect("an address");
        assert_eq!(address.mailbox(), "Ada@xn--bcher-kva.de");
        assert_eq!(address.typed(), "Ada@Bücher.de");
        let again = EmailAddress::parse(address.typed()).expect("still one");
        assert_eq!(again.normalised(), address.normalised());
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        // Each part fits, and together they do not.
        let (local, label) = ("a".repeat(64), "b".repeat(62));
        let longer = format!("{local}@{label}.{label}.{label}.com");
        assert_eq!(longer.len(), 257);
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
            "ada\u{85}lovelace@example.com",
            "ada@example.com, eve@example.com",
            "\"ada\"@example.com",
            "\"ada lovelace\"@example.com",
            "\"a@b\"@example.com",
            "ada@exa_mple.com",
            "ada@-example.com",
            "ada@example-.com",
            "ada@example.com.",
            "ada@example..com",
            // Punycode of nothing, and of what is plain ASCII.
            "ada@xn--.com",
            "ada@xn--example-.com",
            // Too long only as DNS writes it.
            &format!("ada@{}.de", "ü".repeat(63)),
            &long,
            &longer,
        ] {
            assert!(EmailAddress::parse(wrong).is_none(), "accepted {wrong:?}");
        }
    }
}
