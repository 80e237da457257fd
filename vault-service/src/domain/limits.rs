//! How much one service may ask for: so many keys a second and a day, and the keys of so many people an hour. A stolen
//! service that copies what it can reach is slow, and is noticed.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration as Pause,
};

use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What one service may ask for. All are at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) per_second: u32,
    pub(crate) per_day: u32,
    /// Different subjects.
    pub(crate) people_per_hour: u32,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    PerSecond,
    PerDay,
    PeoplePerHour,
    LooksPerSecond,
}

impl Limit {
    /// For metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::PerDay => "per_day",
            Self::PeoplePerHour => "people_per_hour",
            Self::LooksPerSecond => "looks_per_second",
        }
    }
}

/// A limit is reached, and nothing was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("This service has asked for too much; keys are counted one by one.")]
pub(crate) struct Reached {
    pub(crate) limit: Limit,
    /// When what was asked fits again.
    pub(crate) retry_after: Pause,
}

/// What one service has asked for.
#[derive(Default)]
pub(crate) struct Usage {
    second: Debt,
    day: Debt,
    people: People,
    rewraps: Debt,
    looks: Debt,
}

impl Usage {
    /// Counts so many requests for a key, and the people whose keys may be given, or nothing at all.
    pub(crate) fn take(
        &mut self,
        limits: &Limits,
        keys: u32,
        people: &[Uuid],
        now: OffsetDateTime,
    ) -> Result<(), Reached> {
        let second = self
            .second
            .after(keys, limits.per_second, Duration::SECOND, now)
            .map_err(|wait| reached(Limit::PerSecond, wait))?;
        let day = self
            .day
            .after(keys, limits.per_day, Duration::DAY, now)
            .map_err(|wait| reached(Limit::PerDay, wait))?;
        self.people
            .take(people, limits.people_per_hour, now)
            .map_err(|wait| reached(Limit::PeoplePerHour, wait))?;
        (self.second, self.day) = (second, day);
        Ok(())
    }

    /// Counts keys that are wrapped anew. They give nothing away, so there is no limit for a day, and nobody who logs in
    /// waits for them: they have a second of their own.
    pub(crate) fn take_rewraps(
        &mut self,
        limits: &Limits,
        keys: u32,
        now: OffsetDateTime,
    ) -> Result<(), Reached> {
        let rewraps = self
            .rewraps
            .after(keys, limits.per_second, Duration::SECOND, now);
        self.rewraps = rewraps.map_err(|wait| reached(Limit::PerSecond, wait))?;
        Ok(())
    }

    /// Counts a look at the audit. Whoever looks needs no key for it, and nobody who logs in waits for them.
    pub(crate) fn take_look(
        &mut self,
        limits: &Limits,
        now: OffsetDateTime,
    ) -> Result<(), Reached> {
        let looks = self
            .looks
            .after(1, limits.per_second, Duration::SECOND, now);
        self.looks = looks.map_err(|wait| reached(Limit::LooksPerSecond, wait))?;
        Ok(())
    }

    /// Begins with what was asked for before: how much in each hour, and whose keys first when, oldest first. It may be
    /// more than one replica allows, and holds nobody up for longer than the window of a limit.
    pub(crate) fn remembered(
        limits: &Limits,
        hours: &[(OffsetDateTime, u32)],
        people: &[(Uuid, OffsetDateTime)],
    ) -> Self {
        let mut usage = Self::default();
        for (hour, keys) in hours {
            let day = usage.day.plus(*keys, limits.per_day, Duration::DAY, *hour);
            usage.day = day.at_most(*hour + Duration::DAY);
        }
        for (subject, at) in people {
            usage.people.add(*subject, *at);
        }
        usage
    }

    /// How many different subjects there were within the hour.
    pub(crate) fn people(&self) -> usize {
        self.people.known.len()
    }
}

fn reached(limit: Limit, wait: Duration) -> Reached {
    Reached {
        limit,
        retry_after: Pause::try_from(wait).unwrap_or_default(),
    }
}

/// A bucket that leaks evenly (GCRA): when it will be empty.
#[derive(Clone, Copy, Default)]
struct Debt(Option<OffsetDateTime>);

impl Debt {
    /// The bucket with so many more in it; `Err` says when they will fit.
    fn after(
        self,
        keys: u32,
        limit: u32,
        window: Duration,
        now: OffsetDateTime,
    ) -> Result<Self, Duration> {
        let Self(Some(empty)) = self.plus(keys, limit, window, now) else {
            return Ok(self);
        };
        match empty - now - window {
            over if over.is_positive() => Err(over),
            _ => Ok(Self(Some(empty))),
        }
    }

    fn at_most(self, end: OffsetDateTime) -> Self {
        Self(self.0.map(|empty| empty.min(end)))
    }

    fn plus(self, keys: u32, limit: u32, window: Duration, now: OffsetDateTime) -> Self {
        let taken = window.whole_nanoseconds() * i128::from(keys) / i128::from(limit.max(1));
        let taken = i64::try_from(taken).map_or(Duration::MAX, Duration::nanoseconds);
        let from = self.0.map_or(now, |empty| empty.max(now));
        Self(from.checked_add(taken).or(self.0))
    }
}

/// Who was asked for within the hour.
#[derive(Default)]
struct People {
    known: HashSet<Uuid>,
    /// In the order in which they are forgotten.
    since: VecDeque<(OffsetDateTime, Uuid)>,
}

impl People {
    fn take(&mut self, subjects: &[Uuid], limit: u32, now: OffsetDateTime) -> Result<(), Duration> {
        self.forget(now);
        let new: HashSet<_> = subjects
            .iter()
            .filter(|subject| !self.known.contains(subject))
            .collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let over = (self.known.len() + new.len()).saturating_sub(limit);
        if let Some(last) = over.checked_sub(1) {
            // So many have to be forgotten first; more than there are never fit.
            let freed = self.since.get(last).or(self.since.back());
            return Err(freed.map_or(Duration::HOUR, |(since, _)| *since + Duration::HOUR - now));
        }
        for subject in new {
            self.add(*subject, now);
        }
        Ok(())
    }

    fn add(&mut self, subject: Uuid, at: OffsetDateTime) {
        if self.known.insert(subject) {
            self.since.push_back((at, subject));
        }
    }

    fn forget(&mut self, now: OffsetDateTime) {
        while let Some((since, subject)) = self.since.front().copied() {
            if now - since < Duration::HOUR {
                return;
            }
            self.since.pop_front();
            self.known.remove(&subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
    const LIMITS: Limits = Limits {
        per_second: 10,
        per_day: 100,
        people_per_hour: 5,
    };

    fn somebody(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn take(usage: &mut Usage, subjects: &[Uuid], now: OffsetDateTime) -> Result<(), Reached> {
        let keys = u32::try_from(subjects.len()).expect("few");
        usage.take(&LIMITS, keys, subjects, now)
    }

    fn limit(taken: Result<(), Reached>) -> Option<(Limit, Pause)> {
        taken.err().map(|it| (it.limit, it.retry_after))
    }

    #[test]
    fn a_batch_counts_its_keys_and_a_refused_one_counts_nothing() {
        let mut usage = Usage::default();
        let ada = [somebody(1); 10];
        assert_eq!(take(&mut usage, &ada[..9], NOW), Ok(()));
        for _ in 0..100 {
            let refused = limit(take(&mut usage, &ada[..2], NOW));
            assert_eq!(refused, Some((Limit::PerSecond, Pause::from_millis(100))));
        }
        assert_eq!(take(&mut usage, &ada[..1], NOW), Ok(()));
        let later = NOW + Duration::milliseconds(100);
        assert_eq!(take(&mut usage, &ada[..1], later), Ok(()));
        assert!(take(&mut usage, &ada[..1], later).is_err());
    }

    #[test]
    fn keys_that_are_wrapped_anew_have_a_second_of_their_own_and_no_day() {
        let mut usage = Usage::default();
        for second in 0..100 {
            let now = NOW + Duration::seconds(second);
            assert_eq!(usage.take_rewraps(&LIMITS, 10, now), Ok(()));
            let refused = limit(usage.take_rewraps(&LIMITS, 1, now));
            assert_eq!(refused, Some((Limit::PerSecond, Pause::from_millis(100))));
        }
        assert_eq!(take(&mut usage, &[somebody(1); 10], NOW), Ok(()));
    }

    #[test]
    fn a_day_has_its_own_limit() {
        let mut usage = Usage::default();
        let ada = [somebody(1); 10];
        for second in 0..10 {
            let now = NOW + Duration::seconds(second);
            assert_eq!(take(&mut usage, &ada, now), Ok(()));
        }
        let now = NOW + Duration::seconds(10);
        let refused = limit(take(&mut usage, &ada, now));
        assert!(matches!(refused, Some((Limit::PerDay, wait)) if wait > Pause::from_mins(100)));
        let now = NOW + Duration::DAY;
        assert_eq!(take(&mut usage, &ada, now), Ok(()));
    }

    #[test]
    fn the_sixth_person_of_an_hour_waits_and_those_who_are_known_do_not() {
        let mut usage = Usage::default();
        for number in 0..5 {
            let now = NOW + Duration::minutes(i64::try_from(number).expect("small"));
            assert_eq!(take(&mut usage, &[somebody(number)], now), Ok(()));
        }
        let now = NOW + Duration::minutes(10);
        let two = [somebody(8), somebody(9)];
        assert_eq!(
            limit(take(&mut usage, &two[..1], now)),
            Some((Limit::PeoplePerHour, Pause::from_mins(50)))
        );
        assert_eq!(
            limit(take(&mut usage, &two, now)),
            Some((Limit::PeoplePerHour, Pause::from_mins(51)))
        );
        assert_eq!(take(&mut usage, &[somebody(0), somebody(4)], now), Ok(()));
        assert_eq!(usage.people(), 5);
        // The first is forgotten an hour after they were first asked for.
        let now = NOW + Duration::HOUR;
        assert_eq!(take(&mut usage, &two[..1], now), Ok(()));
        assert!(take(&mut usage, &two[1..], now).is_err());
        // Six in one batch never fit.
        let six: Vec<_> = (20..26).map(somebody).collect();
        let now = NOW + Duration::HOUR * 3;
        assert!(take(&mut usage, &six, now).is_err());
        assert_eq!(take(&mut usage, &six[..5], now), Ok(()));
    }

    #[test]
    fn what_was_before_a_restart_counts() {
        let people: Vec<_> = (0..5)
            .map(|it| (somebody(it), NOW - Duration::MINUTE))
            .collect();
        let mut usage = Usage::remembered(&LIMITS, &[(NOW, 95)], &people);
        assert!(take(&mut usage, &[somebody(9)], NOW).is_err());
        assert_eq!(take(&mut usage, &[somebody(1); 5], NOW), Ok(()));
        let refused = limit(take(&mut usage, &[somebody(1)], NOW));
        assert!(matches!(refused, Some((Limit::PerDay, _))), "{refused:?}");
    }

    #[test]
    fn what_has_leaked_is_forgotten_and_no_debt_is_longer_than_its_window() {
        let hours: Vec<_> = (1..=24)
            .map(|ago| (NOW - Duration::HOUR * (25 - ago), 4))
            .collect();
        let mut usage = Usage::remembered(&LIMITS, &hours, &[]);
        assert_eq!(take(&mut usage, &[somebody(1); 10], NOW), Ok(()));
        // Of several replicas together.
        let hours: Vec<_> = (1..=24)
            .map(|ago| (NOW - Duration::HOUR * (25 - ago), 400))
            .collect();
        let mut usage = Usage::remembered(&LIMITS, &hours, &[]);
        assert!(take(&mut usage, &[somebody(1); 10], NOW).is_err());
        let soon = NOW + Duration::HOUR * 2;
        assert_eq!(take(&mut usage, &[somebody(1); 10], soon), Ok(()));
    }

    #[test]
    fn what_is_refused_counts_and_its_people_do_not() {
        let mut usage = Usage::default();
        assert_eq!(usage.take(&LIMITS, 10, &[], NOW), Ok(()));
        assert_eq!(usage.people(), 0);
        let refused = limit(usage.take(&LIMITS, 1, &[], NOW));
        assert!(
            matches!(refused, Some((Limit::PerSecond, _))),
            "{refused:?}"
        );
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_twice_a_limit_in_its_window(
            asks in proptest::collection::vec((0..2_000i64, 1..8usize), 1..200)
        ) {
            let mut usage = Usage::default();
            let (mut at, mut taken) = (NOW, Vec::new());
            for (pause, keys) in asks {
                at += Duration::milliseconds(pause);
                if take(&mut usage, &vec![somebody(1); keys], at).is_ok() {
                    taken.push((at, keys));
                }
            }
            for (at, _) in &taken {
                let within = taken.iter().filter(|(other, _)| *other >= *at && *other < *at + Duration::SECOND);
                let keys: usize = within.map(|(_, keys)| keys).sum();
                prop_assert!(keys <= 20);
            }
            let all: usize = taken.iter().map(|(_, keys)| keys).sum();
            prop_assert!(all <= 200);
        }
    }
}
