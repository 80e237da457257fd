//! Takes a shred back, as long as the salt is there.

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    service_token::{NotSpent, OTHER_REQUEST, SPENT},
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    Vault,
    audit::Actor,
    domain::policy::{Caller, Denied, SubjectOperation, allow_subject},
    refusals::{NOT_ALLOWED, SHREDDED, denied},
    store::shreds,
};

/// The last of the wait is nobody's: a replica whose clock is this far ahead may have written the tombstone already and
/// died before the database knew. Service tokens hold clocks to the same difference.
const MARGIN: Duration = Duration::seconds(10);

#[derive(Debug, Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error("The time in which the shred could be taken back is over.")]
    Shredded,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for RestoreError {
    const CASES: &'static [Case] = &[
        NOT_ALLOWED,
        OTHER_REQUEST,
        SPENT,
        SHREDDED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Shredded => &SHREDDED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Denied(_) | Self::Shredded => None,
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Everything of the subject opens again. It is recorded first, as a shred is. A subject that is not being shredded is as it was already.
pub(crate) async fn restore_subject(
    vault: &Vault,
    caller: Caller,
    subject: Uuid,
    now: OffsetDateTime,
) -> Result<(), RestoreError> {
    let allowed = allow_subject(caller.service, SubjectOperation::Restore);
    let outcome = allowed
        .as_ref()
        .err()
        .map_or("ok", |cause| denied(*cause).code);
    let actor = Actor {
        caller: Some(caller.service),
        now,
    };
    let entry = actor.did("restore", outcome).of(subject);
    vault.audit.append(vec![entry]).await?;
    allowed.inspect_err(|cause| {
        tracing::warn!(caller = %caller.service, %subject, %cause, "restore refused");
    })?;
    let db = vault.pool.get().await?;
    if shreds::cancel(&*db, subject, now + MARGIN).await? {
        tracing::info!(%subject, "shred taken back");
        return Ok(());
    }
    match shreds::by_subject(&*db, subject).await? {
        Some(_) => Err(RestoreError::Shredded),
        None => Ok(()),
    }
}
