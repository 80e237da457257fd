//! How much each service has asked this replica for. After a restart it begins with what the audit says that all
//! replicas were asked for.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use shared::problem::{Case, Failure, Unexpected};
use time::{Duration as Span, OffsetDateTime};
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        limits::{Limits, Reached, Usage},
        policy::Service,
    },
    store::audit,
};

pub(crate) const CALLER_LIMITED: Case =
    Case::new(429, "caller_limited", "This service asks for too many keys");

impl Failure for Reached {
    const CASES: &'static [Case] = &[CALLER_LIMITED];

    fn case(&self) -> &'static Case {
        &CALLER_LIMITED
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(self.retry_after)
    }
}

/// The counts of every service.
pub(crate) struct CallerLimits {
    limits: Limits,
    usage: Vec<(Service, Mutex<Usage>)>,
}

impl CallerLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        let usage = Service::ALL.map(|service| (service, Mutex::default()));
        Self {
            limits,
            usage: usage.into(),
        }
    }

    /// Counts so many requests for a key, whatever comes of them, and the people whose keys the policy lets the service
    /// have; or nothing, and says when to come again.
    pub(crate) fn admit(
        &self,
        caller: Service,
        keys: u32,
        people: &[Uuid],
        now: OffsetDateTime,
    ) -> Result<(), Reached> {
        let (taken, people) = self.with(caller, |usage| {
            let taken = usage.take(&self.limits, keys, people, now);
            (taken, usage.people())
        });
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("vault_people_in_an_hour", "caller" => caller.name()).set(people as f64);
        taken.inspect_err(|reached| tell(caller, reached, people))
    }

    /// Counts keys that are to be wrapped anew.
    pub(crate) fn admit_rewraps(
        &self,
        caller: Service,
        keys: u32,
        now: OffsetDateTime,
    ) -> Result<(), Reached> {
        let (taken, people) = self.with(caller, |usage| {
            let taken = usage.take_rewraps(&self.limits, keys, now);
            (taken, usage.people())
        });
        taken.inspect_err(|reached| tell(caller, reached, people))
    }

    /// Counts a look at the audit.
    pub(crate) fn admit_look(&self, caller: Service, now: OffsetDateTime) -> Result<(), Reached> {
        let (taken, people) = self.with(caller, |usage| {
            let taken = usage.take_look(&self.limits, now);
            (taken, usage.people())
        });
        taken.inspect_err(|reached| tell(caller, reached, people))
    }

    fn with<T>(&self, caller: Service, of: impl FnOnce(&mut Usage) -> T) -> T {
        let usage = self.usage.iter().find(|(service, _)| *service == caller);
        let (_, usage) = usage.expect("there is one for each service");
        of(&mut usage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn tell(caller: Service, reached: &Reached, people: usize) {
    let (caller, limit) = (caller.name(), reached.limit.name());
    metrics::counter!("vault_caller_limited_total", "caller" => caller, "limit" => limit)
        .increment(1);
    tracing::warn!(caller, limit, people, "a service asks for too much");
}

/// Begins every count with what the audit says of the time before this start.
pub(crate) async fn remember(vault: &Vault) -> Result<(), Unexpected> {
    let now = vault.clock.now();
    let db = vault.pool.get_for_long().await?;
    for service in Service::ALL {
        let hours = audit::keys_by_hour_since(&*db, service, now - Span::DAY).await?;
        let people = audit::people_since(&*db, service, now - Span::HOUR).await?;
        let before = Usage::remembered(&vault.limits.limits, &hours, &people);
        vault.limits.with(service, |usage| *usage = before);
    }
    Ok(())
}
