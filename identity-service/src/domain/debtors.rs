//! Who owes how much, in a bounded piece of memory: what limits are counted by while Redis is away.
//!
//! When the table is full, the smallest debt makes room, and from then on everybody who is not in the table
//! counts as owing that much: whoever was forgotten owes no more than that. So nobody is ever thought to owe
//! less than is true, however many networks an attacker cycles through; the price is that in such a flood
//! newcomers are taken for somebody who was here before (the idea is Space-Saving's: Metwally, Agrawal and
//! El Abbadi, 2005).

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::rate_limit::{Debt, Decision, RateLimit};

/// Microseconds of the clock.
pub(crate) type Micros = u64;

/// The debts under one limit.
#[derive(Debug)]
pub(crate) struct Debtors<K> {
    limit: RateLimit,
    most: usize,
    /// When each debt is paid off.
    ends: HashMap<K, Micros>,
    /// The same, the earliest first.
    by_end: BTreeSet<(Micros, K)>,
    /// The latest end that was forgotten before its time.
    forgotten: Micros,
}

impl<K: Copy + Ord + Hash> Debtors<K> {
    /// A table of at most `most` debts.
    pub(crate) fn new(limit: RateLimit, most: usize) -> Self {
        Self {
            limit,
            most,
            ends: HashMap::new(),
            by_end: BTreeSet::new(),
            forgotten: 0,
        }
    }

    pub(crate) fn limit(&self) -> RateLimit {
        self.limit
    }

    /// What this table itself has seen of a client; nothing is assumed.
    pub(crate) fn seen(&self, client: K, now: Micros) -> Debt {
        let end = self.ends.get(&client).copied();
        end.unwrap_or_default().saturating_sub(now)
    }

    /// Decides about a request by this table alone.
    pub(crate) fn take(&mut self, client: K, now: Micros) -> Decision {
        let end = self.ends.get(&client).copied();
        let decision = self
            .limit
            .take(end.unwrap_or(self.forgotten).saturating_sub(now));
        self.learn(client, decision.debt, now);
        decision
    }

    /// Takes over what somebody else decided. Decisions made at once may arrive in any order, so a lower
    /// debt never replaces a higher one.
    pub(crate) fn learn(&mut self, client: K, debt: Debt, now: Micros) {
        let before = self.ends.get(&client).copied();
        // An end beyond the highest debt is left from a clock that was ahead.
        let latest = now + self.limit.capacity();
        let end = before.map_or(0, |end| end.min(latest)).max(now + debt);
        if let Some(before) = before {
            self.by_end.remove(&(before, client));
        }
        self.ends.insert(client, end);
        self.by_end.insert((end, client));
        while let Some((end, client)) = self.by_end.first().copied() {
            let paid_off = end <= now;
            if !paid_off && self.ends.len() <= self.most {
                break;
            }
            self.by_end.pop_first();
            self.ends.remove(&client);
            if !paid_off {
                self.forgotten = self.forgotten.max(end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit() -> RateLimit {
        RateLimit::parse("5/15m").unwrap()
    }

    #[test]
    fn cycling_through_networks_does_not_buy_back_a_spent_limit() {
        let mut debtors = Debtors::new(limit(), 100);
        for _ in 0..5 {
            assert!(debtors.take(0, 1).allowed);
        }
        for stranger in 1..10_000 {
            debtors.take(stranger, 2);
            assert!(debtors.ends.len() <= 100);
        }
        assert!(!debtors.take(0, 3).allowed);
    }

    #[test]
    fn what_is_paid_off_leaves_the_table() {
        let mut debtors = Debtors::new(limit(), 100);
        for client in 0..50 {
            debtors.take(client, 1);
        }
        debtors.take(99, 1 + limit().interval());
        assert_eq!(debtors.ends.len(), 1);
        assert_eq!(debtors.by_end.len(), 1);
    }

    #[test]
    fn a_debt_from_a_clock_that_was_ahead_is_counted_on_from_the_highest() {
        let mut debtors = Debtors::new(limit(), 100);
        debtors.take(0, 3_600_000_000);
        assert!(debtors.take(0, 1).allowed);
        for _ in 0..10 {
            assert!(!debtors.take(0, 1).allowed);
        }
    }

    proptest! {
        /// Against a table that forgets nothing.
        #[test]
        fn a_small_table_lets_nothing_through_that_a_boundless_one_would_not(
            // Fewer places than clients, and requests far quicker than debts are paid off.
            requests in prop::collection::vec((0u8..10, 0u64..20_000_000), 1..400),
            most in 1usize..8,
        ) {
            let mut small = Debtors::new(limit(), most);
            let mut now = 1;
            // What each client has really been granted.
            let mut granted: HashMap<u8, Micros> = HashMap::new();
            for (client, pause) in requests {
                now += pause;
                let end = granted.get(&client).copied().unwrap_or_default();
                let exact = limit().take(end.saturating_sub(now));
                if small.take(client, now).allowed {
                    prop_assert!(exact.allowed);
                    granted.insert(client, now + exact.debt);
                }
                prop_assert!(small.ends.len() <= most && small.by_end.len() == small.ends.len());
            }
        }
    }
}
