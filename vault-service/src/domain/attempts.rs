//! How often somebody may be wrong about what opens the vault.

use time::{Duration, OffsetDateTime};

/// Wrong answers in a row that cost nothing.
const FREE: u32 = 5;
/// The wait after the fifth; each further one doubles it.
const FIRST_WAIT: Duration = Duration::minutes(1);
const LONGEST_WAIT: Duration = Duration::HOUR;

/// Wrong answers so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attempts {
    failures: u32,
    not_before: Option<OffsetDateTime>,
}

impl Attempts {
    /// How long nobody is listened to.
    pub(crate) fn wait(&self, now: OffsetDateTime) -> Option<Duration> {
        let wait = self.not_before? - now;
        wait.is_positive().then_some(wait)
    }

    pub(crate) fn failed(&mut self, now: OffsetDateTime) {
        self.failures = self.failures.saturating_add(1);
        let Some(more) = self.failures.checked_sub(FREE) else {
            return;
        };
        let doubled = 1_i32.checked_shl(more.min(30)).unwrap_or(i32::MAX);
        let wait = FIRST_WAIT.checked_mul(doubled).unwrap_or(LONGEST_WAIT);
        self.not_before = Some(now + wait.min(LONGEST_WAIT));
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    #[test]
    fn five_are_free_and_each_further_one_doubles_the_wait_up_to_an_hour() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts.failed(NOW);
            assert_eq!(attempts.wait(NOW), None);
        }
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            attempts.failed(NOW);
            assert_eq!(attempts.wait(NOW), Some(Duration::minutes(minutes)));
        }
        assert_eq!(attempts.wait(NOW + Duration::HOUR), None);
        for _ in 0..100 {
            attempts.failed(NOW);
        }
        assert_eq!(attempts.wait(NOW), Some(Duration::HOUR));
        attempts.succeeded();
        attempts.failed(NOW);
        assert_eq!(attempts.wait(NOW), None);
    }
}
