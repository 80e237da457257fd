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
    domain::{
        limits::Reached,
        policy::{Caller, Denied, SubjectOperation},
    },
    limits::CALLER_LIMITED,
    refusals::{NOT_ALLOWED, SHREDDED, denied},
    store::shreds,
    subject_request::Asked,
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
    #[error(transparent)]
    Limited(#[from] Reached),
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
        CALLER_LIMITED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Limited(reached) => reached.case(),
            Self::Shredded => &SHREDDED,
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
            Self::Denied(_) | Self::Limited(_) | Self::Shredded => None,
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Everything of the subject opens again. A subject that is not being shredded is as it was already. That it was asked for
/// is recorded before anything is done.
pub(crate) async fn restore_subject(
    vault: &Vault,
    caller: Caller,
    subject: Uuid,
    now: OffsetDateTime,
) -> Result<(), RestoreError> {
    let operation = SubjectOperation::Restore;
    let asked = Asked::new::<RestoreError>(vault, caller, operation, subject, now).await?;
    let (taken_back, left) = {
        let db = vault.pool.get().await?;
        let taken_back = shreds::cancel(&*db, subject, now + MARGIN).await?;
        (taken_back, shreds::by_subject(&*db, subject).await?)
    };
    if taken_back {
        tracing::info!(%subject, "shred taken back");
    }
    if left.is_some() {
        asked.came_to(SHREDDED.code).await?;
        return Err(RestoreError::Shredded);
    }
    asked.came_to("ok").await?;
    Ok(())
}
