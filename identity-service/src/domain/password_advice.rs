//! What makes a password easy to guess and what would help, in stable words that a frontend can translate.

use shared::problem::FieldError;
use zxcvbn::{
    Score,
    feedback::{Feedback, Suggestion, Warning},
    zxcvbn,
};

use super::email_address::EmailAddress;

/// zxcvbn's time grows with length, and what it has not found weak by then is not.
const ESTIMATED: usize = 72;

/// Nothing for a password that is hard enough to guess (zxcvbn 3 of 4, about 10^8 guesses). Otherwise that it is not,
/// then what is known of why, then what would help; never any part of it.
pub(crate) fn advice(field: &str, secret: &str, address: Option<&EmailAddress>) -> Vec<FieldError> {
    let estimated: String = secret.chars().take(ESTIMATED).collect();
    let address = address.map(EmailAddress::typed).unwrap_or_default();
    let hints: Vec<&str> = address.split('@').chain([address]).collect();
    let estimate = zxcvbn(&estimated, &hints);
    if estimate.score() >= Score::Three {
        return Vec::new();
    }
    let feedback = estimate.feedback();
    let warning = feedback.and_then(Feedback::warning);
    let suggestions = feedback.map(Feedback::suggestions).unwrap_or_default();
    let told = |message: String, code| FieldError::body(field, message).coded(code);
    let mut advice = vec![told("is too easy to guess".to_owned(), "too_easy_to_guess")];
    advice.extend(warning.map(|it| told(it.to_string(), warning_code(it))));
    advice.extend(
        suggestions
            .iter()
            .map(|it| told(it.to_string(), suggestion_code(*it))),
    );
    advice
}

fn warning_code(warning: Warning) -> &'static str {
    match warning {
        Warning::StraightRowsOfKeysAreEasyToGuess => "row_of_keys",
        Warning::ShortKeyboardPatternsAreEasyToGuess => "keyboard_pattern",
        Warning::RepeatsLikeAaaAreEasyToGuess => "repeated_character",
        Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => "repeated_text",
        Warning::ThisIsATop10Password
        | Warning::ThisIsATop100Password
        | Warning::ThisIsACommonPassword => "common_password",
        Warning::ThisIsSimilarToACommonlyUsedPassword => "similar_to_common_password",
        Warning::SequencesLikeAbcAreEasyToGuess => "sequence",
        Warning::RecentYearsAreEasyToGuess => "recent_year",
        Warning::AWordByItselfIsEasyToGuess => "single_word",
        Warning::DatesAreOftenEasyToGuess => "date",
        Warning::NamesAndSurnamesByThemselvesAreEasyToGuess => "single_name",
        Warning::CommonNamesAndSurnamesAreEasyToGuess => "common_name",
    }
}

fn suggestion_code(suggestion: Suggestion) -> &'static str {
    match suggestion {
        Suggestion::UseAFewWordsAvoidCommonPhrases => "use_a_few_words",
        Suggestion::NoNeedForSymbolsDigitsOrUppercaseLetters => "symbols_are_not_needed",
        Suggestion::AddAnotherWordOrTwo => "add_words",
        Suggestion::CapitalizationDoesntHelpVeryMuch => "capitals_do_not_help",
        Suggestion::AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase => "all_capitals_do_not_help",
        Suggestion::ReversedWordsArentMuchHarderToGuess => "reversing_does_not_help",
        Suggestion::PredictableSubstitutionsDontHelpVeryMuch => "substitutions_do_not_help",
        Suggestion::UseALongerKeyboardPatternWithMoreTurns => "use_a_longer_keyboard_pattern",
        Suggestion::AvoidRepeatedWordsAndCharacters => "avoid_repeats",
        Suggestion::AvoidSequences => "avoid_sequences",
        Suggestion::AvoidRecentYears => "avoid_recent_years",
        Suggestion::AvoidYearsThatAreAssociatedWithYou => "avoid_your_years",
        Suggestion::AvoidDatesAndYearsThatAreAssociatedWithYou => "avoid_your_dates",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(secret: &str) -> Vec<String> {
        let ada = EmailAddress::parse("ada.lovelace@example.com").expect("an address");
        let advice = advice("password", secret, Some(&ada));
        assert!(advice.iter().all(|it| it.pointer == "#/password"));
        advice.into_iter().filter_map(|it| it.code).collect()
    }

    #[test]
    fn what_is_wrong_comes_before_what_would_help() {
        for (secret, expected) in [
            ("a difference engine of my own", &[][..]),
            (
                "passwordpassword",
                &[
                    "too_easy_to_guess",
                    "repeated_text",
                    "add_words",
                    "avoid_repeats",
                ],
            ),
            (
                "aaaaaaaaaaaaaaaa",
                &[
                    "too_easy_to_guess",
                    "repeated_character",
                    "add_words",
                    "avoid_repeats",
                ],
            ),
            (
                "qwertyuiopasdfghjkl",
                &[
                    "too_easy_to_guess",
                    "similar_to_common_password",
                    "add_words",
                ],
            ),
            (
                "abcdefghijklmnop",
                &[
                    "too_easy_to_guess",
                    "sequence",
                    "add_words",
                    "avoid_sequences",
                ],
            ),
        ] {
            assert_eq!(codes(secret), expected, "{secret}");
        }
    }

    #[test]
    fn a_password_made_of_the_address_is_easy_to_guess() {
        for secret in ["ada.lovelace@example.com", "ada.lovelaceada.lovelace"] {
            assert_eq!(
                codes(secret).first().map(String::as_str),
                Some("too_easy_to_guess")
            );
            assert!(advice("password", secret, None).len() < 5);
        }
    }
}
