//! How far a shred has come.

use shared::problem::{Case, Failure, INTERNAL, NOT_FOUND, UNAVAILABLE, Unexpected};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        policy::{Caller, Denied, SubjectOperation, allow_subject},
        shred::Shred,
    },
    refusals::{NOT_ALLOWED, denied},
    store::shreds,
};

#[derive(Debug, Error)]
pub(crate) enum ReadShredError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("There is no such shred, or it was taken back.")]
    NotFound,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ReadShredError {
    const CASES: &'static [Case] = &[NOT_ALLOWED, NOT_FOUND, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::NotFound => &NOT_FOUND,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Denied(_) | Self::NotFound => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The shred of that id.
pub(crate) async fn read_shred(
    vault: &Vault,
    caller: Caller,
    shred_id: Uuid,
) -> Result<Shred, ReadShredError> {
    allow_subject(caller.service, SubjectOperation::ReadShred)?;
    let found = shreds::by_id(&*vault.pool.get().await?, shred_id).await?;
    found.ok_or(ReadShredError::NotFound)
}
