//! The clock: read once per request or loop turn, then passed down as a plain `now`.

use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

/// Where `now` comes from: the system, or a hand that a test moves.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Mutex<OffsetDateTime>>),
}

impl Clock {
    /// The system's clock, in UTC.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] moves it; clones move together.
    pub fn manual(start: OffsetDateTime) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(start))))
    }

    /// The present moment in UTC, cut to microseconds: what Postgres keeps, so that a time that
    /// went through the database equals the one that was sent.
    pub fn now(&self) -> OffsetDateTime {
        let now = match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Source::System => OffsetDateTime::now_utc(),
            Source::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        };
        now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000))
    }

    /// Moves a manual clock by `by`; the system's clock is nobody's to move and stays.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &self.0 {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_in_all_its_clones() {
        let clock = Clock::manual(datetime!(2026-01-01 00:00 UTC));
        let other = clock.clone();
        clock.advance(Duration::minutes(5));
        assert_eq!(other.now(), datetime!(2026-01-01 00:05 UTC));
    }

    #[test]
    fn now_has_no_more_digits_than_postgres_keeps() {
        assert_eq!(Clock::system().now().nanosecond() % 1_000, 0);
    }
}
