//! How often somebody who knows the password may guess at the second factor.
//!
//! Wrong codes since the last right one are counted per account, whatever challenge or session they came
//! through. Every fifth makes the account wait: 15 minutes, then twice as long each time, a day at most. That is
//! 35 guesses on the first day and 5 on each day after it. Three of a million codes are good at any moment (the
//! present step and its neighbours), so a guesser succeeds on the first day with a chance of 1 in 9,500, on each
//! later one of 1 in 66,000, within a year of 1 in 180 (NIST SP 800-63B-4 §3.2.2 allows 100 in a row).

use time::Duration;

/// Wrong codes from one wait to the next.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::minutes(15);
const LONGEST_WAIT: Duration = Duration::days(1);

/// How long the account waits after its `failures`th wrong code in a row.
pub(crate) fn wait_after(failures: u32) -> Option<Duration> {
    if failures == 0 || !failures.is_multiple_of(TRIES) {
        return None;
    }
    // Doubled seven times it is longer than the longest.
    let doublings = (failures / TRIES - 1).min(7);
    Some((FIRST_WAIT * 2_i32.pow(doublings)).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guesses of somebody who never waits longer than they must.
    fn guesses_within(time: Duration) -> u32 {
        let (mut elapsed, mut guesses) = (Duration::ZERO, 0);
        while elapsed < time {
            guesses += 1;
            elapsed += wait_after(guesses).unwrap_or_default();
        }
        guesses
    }

    #[test]
    fn every_fifth_failure_waits_twice_as_long_up_to_a_day() {
        assert_eq!(wait_after(0), None);
        assert_eq!(wait_after(4), None);
        assert_eq!(wait_after(5), Some(Duration::minutes(15)));
        assert_eq!(wait_after(6), None);
        assert_eq!(wait_after(10), Some(Duration::minutes(30)));
        assert_eq!(wait_after(35), Some(Duration::hours(16)));
        assert_eq!(wait_after(40), Some(Duration::days(1)));
        assert_eq!(wait_after(u32::MAX), Some(Duration::days(1)));
    }

    #[test]
    fn the_chance_of_a_guesser_is_what_the_module_says() {
        let chance = |guesses: u32| f64::from(guesses) * 3.0 / 1e6;
        assert_eq!(guesses_within(Duration::days(1)), 35);
        assert!(chance(35) < 1.0 / 9_500.0);
        let year = guesses_within(Duration::days(365));
        assert!(year < 1_860 && chance(year) < 1.0 / 179.0, "{year}");
    }
}
