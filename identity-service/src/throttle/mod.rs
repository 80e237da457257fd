//! How often a client may ask: a limit per route and client network, counted in Redis for all replicas, and
//! in this process while Redis is away.

mod route;
mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::{
    problem::{Case, Failure, RATE_LIMITED},
    serve::Network,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    domain::{
        debtors::Debtors,
        rate_limit::{Decision, RateLimit},
        secret_keys::SecretKeys,
    },
    store::counters::{Counters, Take},
};

pub(crate) use route::{Route, limited_operations};
pub(crate) use settings::ThrottleSettings;

/// Networks that this process keeps in mind per route, a hundred bytes each.
const MOST: usize = 16 * 1024;

/// A client came too often.
#[derive(Debug, Error)]
#[error("Wait for as many seconds as Retry-After says.")]
pub(crate) struct RateLimited(Decision);

impl Failure for RateLimited {
    const CASES: &'static [Case] = &[RATE_LIMITED];

    fn case(&self) -> &'static Case {
        &RATE_LIMITED
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        Some(self.0.wait())
    }
}

/// The limits of all routes, and what has been used of them.
pub(crate) struct Throttle {
    /// In Redis.
    pub(crate) counters: Counters,
    guards: Vec<Guard>,
}

/// One route's limit.
struct Guard {
    route: &'static Route,
    /// What this process knows by itself.
    debtors: Mutex<Debtors<Network>>,
}

impl Throttle {
    pub(crate) fn new(settings: ThrottleSettings) -> Self {
        let guard = |(route, limit): (&'static Route, RateLimit)| Guard {
            route,
            debtors: Mutex::new(Debtors::new(limit, MOST)),
        };
        Self {
            counters: Counters::new(settings.redis),
            guards: settings.limits.into_iter().map(guard).collect(),
        }
    }

    /// Counts a request of an operation; `None` for an operation without a limit.
    ///
    /// Both memories see every request: what this process knows goes along to Redis, so that an emptied
    /// Redis forgives nothing, and what Redis answers is kept, so that a lost one forgives nothing either.
    pub(crate) async fn count(
        &self,
        operation: &str,
        network: Network,
        secrets: &SecretKeys,
        now: OffsetDateTime,
    ) -> Option<(&'static Route, Decision)> {
        let guard = self
            .guards
            .iter()
            .find(|guard| guard.route.operation == operation)?;
        let now = micros(now);
        let (limit, known_debt) = {
            let debtors = guard.debtors();
            (debtors.limit(), debtors.seen(network, now))
        };
        let take = Take {
            bucket: format!(
                "keystead:rate:{{{}}}:{operation}",
                hex::encode(secrets.throttle_index(network))
            ),
            limit,
            known_debt,
            now,
        };
        let (decision, source) = match self.counters.take(&take).await {
            Some(decision) => {
                guard.debtors().learn(network, decision.debt, now);
                (decision, "redis")
            }
            None => (guard.debtors().take(network, now), "memory"),
        };
        let outcome = if decision.allowed {
            "allowed"
        } else {
            "refused"
        };
        metrics::counter!("rate_limit_decisions_total",
            "operation" => guard.route.operation, "source" => source, "outcome" => outcome)
        .increment(1);
        Some((guard.route, decision))
    }
}

impl RateLimited {
    /// The refusal that a decision is, if it is one.
    pub(crate) fn unless_allowed(decision: Decision) -> Result<(), Self> {
        if decision.allowed {
            Ok(())
        } else {
            Err(Self(decision))
        }
    }
}

impl Guard {
    fn debtors(&self) -> MutexGuard<'_, Debtors<Network>> {
        self.debtors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since 1970.
fn micros(now: OffsetDateTime) -> u64 {
    u64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or_default()
}
