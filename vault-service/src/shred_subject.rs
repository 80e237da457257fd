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
    audit::Actor,
    domain::{
        policy::{Caller, Denied, SubjectOperation, allow_subject},
        shred::Shred,
    },
    purge::purge_at_once,
    refusals::{NOT_ALLOWED, denied},
    store::shreds,
};

#[derive(Debug, Error)]
pub(crate) enum ShredError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    NotSpent(#[from] NotSpent),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ShredError {
    const CASES: &'static [Case] = &[NOT_ALLOWED, OTHER_REQUEST, SPENT, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotSpent(why) => why.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Denied(_) => None,
            Self::NotSpent(why) => why.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Begins the shred of a subject, known or not, or goes on with the one that was begun: a shorter `wait` brings its end
/// forward, a longer one changes nothing. Without a wait it ends here. It is recorded first: whatever comes of it, it was
/// asked for.
pub(crate) async fn shred_subject(
    vault: &Vault,
    caller: Caller,
    subject: Uuid,
    wait: Option<Duration>,
    now: OffsetDateTime,
) -> Result<Shred, ShredError> {
    let allowed = allow_subject(caller.service, SubjectOperation::Shred);
    let outcome = allowed
        .as_ref()
        .err()
        .map_or("ok", |cause| denied(*cause).code);
    let actor = Actor {
        caller: Some(caller.service),
        now,
    };
    let entry = actor.did("shred", outcome).of(subject);
    vault.audit.append(vec![entry]).await?;
    allowed.inspect_err(|cause| {
        tracing::warn!(caller = %caller.service, %subject, %cause, "shred refused");
    })?;
    let purge_at = now + wait.unwrap_or(vault.shred_wait);
    let shred_id = random::uuid_v7(now);
    let begun = {
        let db = vault.pool.get().await?;
        shreds::begin(&*db, subject, shred_id, now, purge_at).await?
    };
    tracing::info!(%subject, shred_id = %begun.id, purge_at = %begun.purge_at, "shred requested");
    if begun.purged.is_some() || begun.purge_at > now {
        return Ok(begun);
    }
    Ok(purge_at_once(vault, begun, now).await?)
}
