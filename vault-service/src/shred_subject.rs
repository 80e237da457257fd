//! Shreds a person: nothing of theirs opens from now on, for any owner; after a time in which it can be taken back the
//! salt goes, and then nothing of theirs opens ever again, from any backup.

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    random,
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
        shred::Shred,
    },
    limits::CALLER_LIMITED,
    purge::purge_at_once,
    refusals::{NOT_ALLOWED, denied},
    store::shreds,
    subject_request::Asked,
};

#[derive(Debug, Error)]
pub(crate) enum ShredError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ShredError {
    const CASES: &'static [Case] = &[
        NOT_ALLOWED,
        OTHER_REQUEST,
        SPENT,
        CALLER_LIMITED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Limited(reached) => reached.case(),
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
            Self::Denied(_) | Self::Limited(_) => None,
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Begins the shred of a subject, known or not, or goes on with the one that was begun: a shorter `wait` brings its end
/// forward, a longer one changes nothing. Without a wait it ends here. That it was asked for is recorded before anything
/// is done.
pub(crate) async fn shred_subject(
    vault: &Vault,
    caller: Caller,
    subject: Uuid,
    wait: Option<Duration>,
    now: OffsetDateTime,
) -> Result<Shred, ShredError> {
    let operation = SubjectOperation::Shred;
    let asked = Asked::new::<ShredError>(vault, caller, operation, subject, now).await?;
    let purge_at = now + wait.unwrap_or(vault.shred_wait);
    let shred_id = random::uuid_v7(now);
    let begun = {
        let db = vault.pool.get().await?;
        shreds::begin(&*db, subject, shred_id, now, purge_at).await?
    };
    asked.came_to("ok").await?;
    tracing::info!(%subject, shred_id = %begun.id, purge_at = %begun.purge_at, "shred requested");
    if begun.purged.is_some() || begun.purge_at > now {
        return Ok(begun);
    }
    Ok(purge_at_once(vault, begun, now).await?)
}
