//! A request to do something to a person as a whole: counted, allowed, and on record before it is tried and after.

use shared::problem::Unexpected;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Vault,
    audit::Actor,
    domain::{
        limits::Reached,
        policy::{Caller, Denied, SubjectOperation, allow_subject},
    },
    refusals::denied,
};

/// A request that the policy allows.
pub(crate) struct Asked<'a> {
    vault: &'a Vault,
    actor: Actor,
    operation: SubjectOperation,
    subject: Uuid,
}

impl<'a> Asked<'a> {
    /// Counts it, and records that it was asked for, or why it is refused.
    pub(crate) async fn new<E>(
        vault: &'a Vault,
        caller: Caller,
        operation: SubjectOperation,
        subject: Uuid,
        now: OffsetDateTime,
    ) -> Result<Self, E>
    where
        E: From<Denied> + From<Reached> + From<Unexpected>,
    {
        vault.limits.admit(caller.service, 1, &[], now)?;
        let asked = Self {
            vault,
            actor: Actor::calling(caller.service, now),
            operation,
            subject,
        };
        let allowed = allow_subject(caller.service, operation);
        let outcome = allowed.map_or_else(|cause| denied(cause).code, |()| "asked");
        asked.came_to(outcome).await?;
        let operation = operation.name();
        allowed.inspect_err(|cause| {
            tracing::warn!(caller = %caller.service, operation, %subject, %cause, "refused");
        })?;
        Ok(asked)
    }

    /// Records what came of it.
    pub(crate) async fn came_to(&self, outcome: &str) -> Result<(), Unexpected> {
        let entry = self.actor.did(self.operation.name(), outcome);
        self.vault.audit.append(vec![entry.of(self.subject)]).await
    }
}
