//! What was done with the keys of one subject, and where the audit is.

use shared::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        audit_chain::{Entry, Head},
        policy::{Caller, Denied, SubjectOperation, allow_subject},
    },
    refusals::{NOT_ALLOWED, denied},
    store::audit,
};

#[derive(Debug, Error)]
pub(crate) enum ReadAuditError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ReadAuditError {
    const CASES: &'static [Case] = &[NOT_ALLOWED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Denied(_) => None,
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
) -> Result<Vec<Entry>, ReadAuditError> {
    allow_subject(caller.service, SubjectOperation::ReadAudit)?;
    let db = vault.pool.get().await?;
    Ok(audit::of_subject(&*db, subject, before, PAGE).await?)
}

/// The newest record of every chain.
pub(crate) async fn audit_heads(vault: &Vault) -> Result<Vec<Head>, Unexpected> {
    audit::heads(&*vault.pool.get().await?).await
}
