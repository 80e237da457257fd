//! The languages that mails are written in, one file each.

mod english;
mod german;

use super::letter::{Letter, Occasion, Text, minute};

/// A language. Another one is a variant here and a file with every letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locale {
    English,
    German,
}

impl Locale {
    /// Takes the language's code (ISO 639-1).
    pub(super) fn parse(code: &str) -> Result<Self, String> {
        match code {
            "en" => Ok(Self::English),
            "de" => Ok(Self::German),
            _ => Err("is not a language that mails are written in: en, de".to_owned()),
        }
    }

    /// The letter in words: plain text, with links into the frontend at `app_url`. A token stands in the link's
    /// fragment, which no server on the way gets to see, and on a line of its own for whoever has no frontend.
    pub(super) fn write(self, app_url: &str, letter: Letter<'_>, occasion: Occasion<'_>) -> Text {
        match self {
            Self::English => english::write(app_url, letter, occasion),
            Self::German => german::write(app_url, letter, occasion),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notice;
    use time::macros::datetime;

    const APP: &str = "https://app.test";
    const LOCALES: [Locale; 2] = [Locale::English, Locale::German];

    fn occasion() -> Occasion<'static> {
        Occasion {
            at: datetime!(2026-11-24 08:05 UTC),
            network: Some("192.0.2.1"),
        }
    }

    fn every_letter() -> Vec<Letter<'static>> {
        let token = "kst_v_abc";
        let letters = [
            Letter::ConfirmAddress { token },
            Letter::SomebodySignedUp,
            Letter::ResetPassword { token },
            Letter::ConfirmNewAddress { token },
            Letter::AddressWanted,
            Letter::AddressChanged,
            Letter::ResetRequired { token },
            Letter::AccountDeleted {
                until: datetime!(2026-12-01 08:05 UTC),
            },
        ];
        let notices = notice::tests::ALL.map(Letter::Notice);
        letters.into_iter().chain(notices).collect()
    }

    #[test]
    fn every_letter_says_when_and_from_where_in_plain_words() {
        for locale in LOCALES {
            for letter in every_letter() {
                let Text { subject, body } = locale.write(APP, letter, occasion());
                for part in ["2026-11-24 08:05 UTC", "192.0.2.1", "https://app.test/"] {
                    assert!(body.contains(part), "{part} is missing in {body}");
                }
                assert!(!body.contains('<'), "{body}");
                assert!(!subject.is_empty() && !subject.contains(char::is_control));
                // RFC 5322 §2.1.1, and no reader wraps lines as their writer meant it.
                assert!(
                    body.lines().all(|line| line.chars().count() <= 78),
                    "{body}"
                );
                let nowhere = Occasion {
                    network: None,
                    ..occasion()
                };
                assert!(
                    !locale
                        .write(APP, letter, nowhere)
                        .body
                        .contains("192.0.2.1")
                );
            }
        }
    }

    #[test]
    fn a_token_stands_in_fragments_and_on_a_line_of_its_own() {
        let token = "kst_v_abc";
        for locale in LOCALES {
            for (letter, links) in [
                (
                    Letter::ConfirmAddress { token },
                    &["verify-email", "cancel-signup"][..],
                ),
                (Letter::ResetPassword { token }, &["reset-password"]),
                (Letter::ConfirmNewAddress { token }, &["confirm-email"]),
                (Letter::ResetRequired { token }, &["reset-password"]),
            ] {
                let body = locale.write(APP, letter, occasion()).body;
                for link in links {
                    let link = format!("https://app.test/{link}#token=kst_v_abc");
                    assert!(body.lines().any(|line| line == link), "{link}: {body}");
                }
                assert!(body.lines().any(|line| line == token), "{body}");
                assert_eq!(body.matches(token).count(), links.len() + 1, "{body}");
            }
        }
    }

    #[test]
    fn whoever_left_is_told_until_when_they_can_come_back() {
        let until = datetime!(2026-12-01 08:05 UTC);
        for locale in LOCALES {
            let letter = Letter::AccountDeleted { until };
            let body = locale.write(APP, letter, occasion()).body;
            assert!(body.contains("2026-12-01 08:05 UTC"), "{body}");
            assert!(!body.contains("token="), "{body}");
        }
    }

    #[test]
    fn a_notice_has_no_token_and_says_what_to_do() {
        for locale in LOCALES {
            for notice in notice::tests::ALL {
                let body = locale.write(APP, Letter::Notice(notice), occasion()).body;
                assert!(!body.contains("token="), "{body}");
                assert!(
                    body.contains("https://app.test/forgot-password\n"),
                    "{body}"
                );
            }
        }
    }
}
