//! What was done with the keys of one subject, and where the audit is.

use std::time::Duration;

use shared::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        audit_chain::{Entry, Head},
        limits::Reached,
        policy::{Caller, Denied, SubjectOperation, allow_subject},
    },
    limits::CALLER_LIMITED,
    refusals::{NOT_ALLOWED, denied},
    store::audit,
};

#[derive(Debug, Error)]
pub(crate) enum ReadAuditError {
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ReadAuditError {
    const CASES: &'static [Case] = &[NOT_ALLOWED, CALLER_LIMITED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Limited(reached) => reached.case(),
            Self::Denied(cause) => denied(*cause),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited(reached) => Failure::retry_after(reached),
            Self::Denied(_) => None,
            Self::Unexpected(unexpected) => unexpected.retry_after(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Limited(_) | Self::Denied(_) => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Records in one answer.
const PAGE: i64 = 100;

/// Newest first, before that moment.
pub(crate) async fn read_audit(
    vault: &Vault,
    caller: Caller,
    subject: Uuid,
    before: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<Vec<Entry>, ReadAuditError> {
    vault.limits.admit_look(caller.service, now)?;
    allow_subject(caller.service, SubjectOperation::ReadAudit)?;
    let db = vault.pool.get().await?;
    Ok(audit::of_subject(&*db, subject, before, PAGE).await?)
}

/// The newest record of every chain.
pub(crate) async fn audit_heads(
    vault: &Vault,
    caller: Caller,
    now: OffsetDateTime,
) -> Result<Vec<Head>, ReadAuditError> {
    vault.limits.admit_look(caller.service, now)?;
    Ok(audit::heads(&*vault.pool.get().await?).await?)
}
