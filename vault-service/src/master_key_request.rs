//! A request about the master keys: counted, allowed, and on record before it is done.

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    service_token::{NotSpent, OTHER_REQUEST, SPENT},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Vault,
    audit::Actor,
    domain::{
        keyring::KeyVersion,
        limits::Reached,
        policy::{Caller, Denied, MasterKeyOperation, allow_master_keys},
    },
    limits::CALLER_LIMITED,
    refusals::{NOT_ALLOWED, denied},
};

const UNKNOWN_VERSION: Case = Case::new(
    404,
    "unknown_master_key",
    "There is no such version of the master key",
);
const IN_USE: Case = Case::new(
    409,
    "master_key_in_use",
    "Keys still depend on this master key, or new ones are wrapped under it",
);
const NOT_CURRENT: Case = Case::new(
    409,
    "master_key_not_current",
    "Another master key wraps by now",
);
const DESTROYED: Case = Case::new(410, "master_key_destroyed", "This master key is destroyed");

/// Why nothing was done to a master key.
#[derive(Debug, Error)]
pub(crate) enum MasterKeyError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error("The vault has never had this version.")]
    UnknownVersion,
    #[error("See GET /v1/master-keys for what depends on it.")]
    InUse,
    #[error("Look again which one it is.")]
    NotCurrent,
    #[error("Nothing brings it back.")]
    Destroyed,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for MasterKeyError {
    const CASES: &'static [Case] = &[
        NOT_ALLOWED,
        UNKNOWN_VERSION,
        OTHER_REQUEST,
        SPENT,
        IN_USE,
        NOT_CURRENT,
        DESTROYED,
        CALLER_LIMITED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Limited(reached) => reached.case(),
            Self::UnknownVersion => &UNKNOWN_VERSION,
            Self::InUse => &IN_USE,
            Self::NotCurrent => &NOT_CURRENT,
            Self::Destroyed => &DESTROYED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Limited(reached) => Failure::retry_after(reached),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// A request that the policy allows.
pub(crate) struct Asked<'a> {
    vault: &'a Vault,
    actor: Actor,
    operation: MasterKeyOperation,
    version: KeyVersion,
}

impl<'a> Asked<'a> {
    /// Counts it, and records that it was asked for, or why it is refused.
    pub(crate) async fn new(
        vault: &'a Vault,
        caller: Caller,
        operation: MasterKeyOperation,
        version: KeyVersion,
        now: OffsetDateTime,
    ) -> Result<Self, MasterKeyError> {
        vault.limits.admit(caller.service, 1, &[], now)?;
        let actor = Actor::calling(caller.service, now);
        let asked = Self {
            vault,
            actor,
            operation,
            version,
        };
        let allowed = allow_master_keys(caller.service, operation);
        let outcome = allowed.map_or_else(|cause| denied(cause).code, |()| "asked");
        asked.came_to(outcome).await?;
        allowed?;
        Ok(asked)
    }

    /// Records what came of it.
    pub(crate) async fn came_to(&self, outcome: &str) -> Result<(), Unexpected> {
        let entry = self.actor.did(self.operation.name(), outcome);
        let entry = entry.about_master_key(self.version);
        self.vault.audit.append(vec![entry]).await
    }
}
