//! Weeks as ISO 8601 counts them: from Monday to Sunday, the first one of a year being the one with its first Thursday.

use shared::problem::FieldError;
use time::{Date, Duration, Weekday};

use super::content::YEARS;

/// A week of the years 0001 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Week {
    monday: Date,
}

impl Week {
    /// From `2026-W48`. A 53rd week is one only in years that have it.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let wrong = "is not a week such as 2026-W48 of a year that has it";
        let week = read(text).ok_or_else(|| FieldError::new("path:iso_week", wrong));
        week.map(|monday| Self { monday })
    }

    /// The week that begins on that Monday.
    pub(crate) fn beginning(monday: Date) -> Self {
        Self { monday }
    }

    pub(crate) fn monday(self) -> Date {
        self.monday
    }

    /// The last day of it that there is: the very last week ends with the last day of the year 9999.
    pub(crate) fn sunday(self) -> Date {
        self.monday.saturating_add(Duration::days(6))
    }

    /// Its days, from Monday.
    pub(crate) fn days(self) -> impl Iterator<Item = Date> {
        let day = move |after| self.monday.checked_add(Duration::days(after));
        (0..7).filter_map(day)
    }

    /// As [`Week::parse`] reads it.
    pub(crate) fn name(self) -> String {
        let (year, week, _) = self.monday.to_iso_week_date();
        format!("{year:04}-W{week:02}")
    }
}

fn read(text: &str) -> Option<Date> {
    let (year, week) = text.split_once("-W")?;
    let is_number =
        |part: &str, digits| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(year, 4) || !is_number(week, 2) {
        return None;
    }
    let (year, week) = (year.parse().ok()?, week.parse().ok()?);
    if !YEARS.contains(&year) {
        return None;
    }
    Date::from_iso_week_date(year, week, Weekday::Monday).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    fn days(text: &str) -> Option<(Date, Date)> {
        let week = Week::parse(text).ok()?;
        Some((week.monday(), week.sunday()))
    }

    #[test]
    fn weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday() {
        for (text, monday, sunday) in [
            ("2026-W48", date!(2026 - 11 - 23), date!(2026 - 11 - 29)),
            ("2026-W01", date!(2025 - 12 - 29), date!(2026 - 01 - 04)),
            ("2026-W53", date!(2026 - 12 - 28), date!(2027 - 01 - 03)),
            ("2020-W53", date!(2020 - 12 - 28), date!(2021 - 01 - 03)),
            ("2024-W01", date!(2024 - 01 - 01), date!(2024 - 01 - 07)),
            ("0001-W01", date!(0001 - 01 - 01), date!(0001 - 01 - 07)),
            ("9999-W52", date!(9999 - 12 - 27), date!(9999 - 12 - 31)),
        ] {
            assert_eq!(days(text), Some((monday, sunday)), "{text}");
        }
    }

    #[test]
    fn what_is_no_week_is_refused() {
        for text in [
            "2025-W53",
            "2024-W53",
            "2026-W54",
            "2026-W00",
            "2026-W1",
            "2026-w48",
            "2026W48",
            "2026-48",
            "0000-W10",
            "12026-W10",
            "+026-W10",
            "2026-W+1",
            "2026-W48 ",
            "",
            "-W",
            "２０２６-W48",
            "9999-W53",
        ] {
            assert!(Week::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_week_is_read_back_from_its_name(year in 1..=9999i32, week in 1..=53u8) {
            if let Ok(parsed) = Week::parse(&format!("{year:04}-W{week:02}")) {
                prop_assert_eq!(Week::parse(&parsed.name()).ok(), Some(parsed));
                prop_assert!(parsed.days().count() == 7 || year == 9999);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = Week::parse(&text);
        }
    }
}
