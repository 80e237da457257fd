//! How many requests are too many: the generic cell rate algorithm (GCRA, ITU-T I.371) in one number per
//! client, its *debt*.
//!
//! Every allowed request adds the limit's interval (window / requests) to the debt, and time pays it off at
//! its own pace. A request that would lift the debt above the window is refused and adds nothing. So
//! `requests` come through at once, then one per interval, and in any span of time at most
//! `requests + span / interval`.

use std::time::Duration;

use shared::settings;

/// Beyond these nobody limits anything, and the arithmetic stays exact in Redis' numbers (below 2^53).
const MOST_REQUESTS: u32 = 1_000_000;
const LONGEST: time::Duration = time::Duration::days(30);

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    requests: u32,
    window: Duration,
}

/// Microseconds until the bucket is as good as new.
pub(crate) type Debt = u64;

/// What became of one request, and where it leaves its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) debt: Debt,
    pub(crate) limit: RateLimit,
}

impl RateLimit {
    /// Reads `5/15m`: five requests in fifteen minutes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let problem = || "is not a limit such as 5/15m".to_owned();
        let (requests, window) = text.split_once('/').ok_or_else(problem)?;
        if !requests.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(problem());
        }
        let requests = requests.parse().map_err(|_| problem())?;
        let window = settings::duration(window).map_err(|_| problem())?;
        if !(1..=MOST_REQUESTS).contains(&requests) || window > LONGEST {
            return Err(format!(
                "is not a limit from 1 to {MOST_REQUESTS} requests in at most 30d"
            ));
        }
        let window = window.unsigned_abs();
        Ok(Self { requests, window })
    }

    /// How many requests come through at once.
    pub(crate) fn requests(self) -> u32 {
        self.requests
    }

    pub(crate) fn window(self) -> Duration {
        self.window
    }

    /// What one request costs; rounded up, so that rounding never lets one more through.
    pub(crate) fn interval(self) -> Debt {
        let window = u64::try_from(self.window.as_micros()).expect("30 days fit");
        window.div_ceil(u64::from(self.requests))
    }

    /// The highest debt there is.
    pub(crate) fn capacity(self) -> Debt {
        self.interval() * u64::from(self.requests)
    }

    /// Decides about a request of a client with this debt. A debt that is a little higher than possible comes from
    /// a clock that was ahead: it counts as the highest one. One that is more than a request higher was made
    /// under a stricter limit, or by a clock that was wrong: this request comes through.
    pub(crate) fn take(self, debt: Debt) -> Decision {
        let before = if debt > self.capacity() + self.interval() {
            self.capacity() - self.interval()
        } else {
            debt.min(self.capacity())
        };
        let after = before + self.interval();
        let allowed = after <= self.capacity();
        Decision {
            allowed,
            debt: if allowed { after } else { before },
            limit: self,
        }
    }
}

impl Decision {
    /// How many more requests would come through now.
    pub(crate) fn remaining(self) -> u32 {
        let left = self.limit.capacity().saturating_sub(self.debt) / self.limit.interval();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// How long until there is one more: for a refused request, until it would come through.
    pub(crate) fn wait(self) -> Duration {
        let whole = (self.debt.saturating_sub(1)) / self.limit.interval();
        Duration::from_micros(self.debt - whole * self.limit.interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(text: &str) -> RateLimit {
        RateLimit::parse(text).unwrap()
    }

    #[test]
    fn a_limit_is_read_strictly() {
        let login = limit("5/15m");
        assert_eq!((login.requests(), login.window().as_secs()), (5, 900));
        for wrong in [
            "",
            "5",
            "/15m",
            "5/",
            "0/15m",
            "-1/15m",
            "+5/15m",
            "5/0m",
            "5/15",
            "5 / 15m",
            "5/15m/1",
            "1.5/1m",
            "1000001/1s",
            "5/31d",
            "5/4294967295d",
            "off",
        ] {
            assert!(RateLimit::parse(wrong).is_err(), "accepted {wrong:?}");
        }
    }

    #[test]
    fn five_come_through_and_the_sixth_waits_for_a_fifth_of_the_window() {
        let limit = limit("5/15m");
        let mut debt = 0;
        for remaining in [4, 3, 2, 1, 0] {
            let decision = limit.take(debt);
            assert!(decision.allowed);
            assert_eq!(decision.remaining(), remaining);
            debt = decision.debt;
        }
        let refused = limit.take(debt);
        assert!(!refused.allowed);
        assert_eq!(refused.debt, debt);
        assert_eq!(refused.wait(), Duration::from_mins(3));
        let second = 1_000_000;
        assert!(!limit.take(debt - 180 * second + 1).allowed);
        assert!(limit.take(debt - 180 * second).allowed);
    }

    #[test]
    fn a_debt_of_a_stricter_limit_does_not_refuse_under_a_looser_one() {
        let strict = limit("5/15m");
        let full = strict.capacity();
        let loose = limit("10/1m");
        let first = loose.take(full);
        assert!(first.allowed);
        assert!(!loose.take(first.debt).allowed, "one, and not a new burst");
        // A clock that is a second ahead gives nobody a request.
        assert!(!strict.take(full + 1_000_000).allowed);
        assert!(!strict.take(full + strict.interval()).allowed);
    }

    fn limits() -> impl Strategy<Value = RateLimit> {
        (1u32..200, 1u32..2_000)
            .prop_map(|(requests, seconds)| limit(&format!("{requests}/{seconds}s")))
    }

    proptest! {
        #[test]
        fn no_span_of_time_lets_more_through_than_the_burst_and_the_rate(
            limit in limits(),
            pauses in prop::collection::vec(0u64..20_000_000, 1..300),
        ) {
            let (mut now, mut empty_at) = (1u64, 0u64);
            let mut allowed = Vec::new();
            for pause in pauses {
                now += pause;
                let decision = limit.take(empty_at.saturating_sub(now));
                empty_at = now + decision.debt;
                if decision.allowed {
                    allowed.push(now);
                }
            }
            for (first, from) in allowed.iter().enumerate() {
                for (last, to) in allowed.iter().enumerate().skip(first) {
                    let most = u64::from(limit.requests()) + (to - from) / limit.interval();
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn what_the_answer_promises_comes_true(limit in limits(), debt in 0u64..3_000_000_000) {
            let decision = limit.take(debt);
            let mut now = decision.debt;
            for _ in 0..decision.remaining() {
                let next = limit.take(now);
                prop_assert!(next.allowed);
                now = next.debt;
            }
            prop_assert!(!limit.take(now).allowed);
            // After the wait there is exactly one more, and not a microsecond before.
            let wait = u64::try_from(decision.wait().as_micros()).unwrap();
            prop_assert!(wait >= 1);
            let later = Decision { debt: decision.debt - wait, ..decision };
            prop_assert_eq!(later.remaining(), decision.remaining() + 1);
            let earlier = Decision { debt: decision.debt - wait + 1, ..decision };
            prop_assert_eq!(earlier.remaining(), decision.remaining());
        }
    }
}
