//! "This was not me": the reader of a confirmation mail discards the sign-up behind it.

use secrecy::SecretString;
use shared::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    domain::{
        single_use_token::{Purpose, SingleUseToken},
        token_type::NotOurs,
    },
    refresh::WRONG_TYPE,
    store::pending_signups,
};

#[derive(Debug, Error)]
pub(crate) enum CancelError {
    #[error("The token from a confirmation mail is needed here.")]
    WrongTokenType,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for CancelError {
    const CASES: &'static [Case] = &[WRONG_TYPE, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::WrongTokenType => &WRONG_TYPE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::WrongTokenType => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Discards the sign-up of that token; there is nothing to tell when there is none.
pub(crate) async fn cancel_signup(
    identity: &Identity,
    token: SecretString,
    now: OffsetDateTime,
) -> Result<(), CancelError> {
    let token = match SingleUseToken::presented(Purpose::Verification, token) {
        Ok(token) => token.sought(&identity.secrets),
        Err(NotOurs::WrongType) => return Err(CancelError::WrongTokenType),
        Err(NotOurs::Invalid) => return Ok(()),
    };
    let db = identity.pool.get().await?;
    let Some(pending) = pending_signups::find_by_token(&*db, &token, now).await? else {
        return Ok(());
    };
    if pending_signups::take(&*db, pending.id).await? {
        tracing::info!(pending.id = %pending.id, "cancelled by the reader of its mail");
    }
    Ok(())
}
