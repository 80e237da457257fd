//! What a person sees of their own account.

use shared::{
    access_token::Caller,
    envelope::DataKey,
    problem::{Case, Failure, INTERNAL, RECORD_UNREADABLE, UNAVAILABLE, Unexpected},
    user_id::UserId,
    vault_client::VaultError,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    domain::sealed::Column,
    refresh::SESSION_ENDED,
    store::{
        accounts::{self, Profile},
        sessions,
    },
};

/// The account in the clear. Personal data: no `Debug`.
pub(crate) struct Me {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) mfa_enabled: bool,
    pub(crate) created_at: OffsetDateTime,
}

#[derive(Debug, Error)]
pub(crate) enum MeError {
    #[error("Log in again.")]
    Ended,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for MeError {
    const CASES: &'static [Case] = &[SESSION_ENDED, RECORD_UNREADABLE, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Ended => &SESSION_ENDED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        Some(r#"Bearer error="invalid_token""#)
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Ended => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// The caller's account, while their session lasts.
pub(crate) async fn me(
    identity: &Identity,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Me, MeError> {
    let user = caller.user_id();
    let profile = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(MeError::Ended);
        }
        accounts::profile(&*db, user).await?.ok_or(MeError::Ended)?
    };
    let email = address(identity, &profile, now).await?;
    Ok(Me {
        id: user,
        email,
        mfa_enabled: profile.second_factor,
        created_at: profile.created_at,
    })
}

/// The address of an account, as its owner wrote it.
pub(crate) async fn address(
    identity: &Identity,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<String, Unexpected> {
    let subject = profile.key.user_id.uuid();
    let key = profile.key.open(identity, now).await?;
    opened(&key, profile).ok_or_else(|| {
        Unexpected::unreadable(format!("the address of account {subject} does not open"))
    })
}

/// The same of an account that may be on its way out: `None` when nothing of it opens any more.
pub(crate) async fn address_if_readable(
    identity: &Identity,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<Option<String>, Unexpected> {
    match profile.key.ask_for(identity, now).await {
        Ok(key) => Ok(opened(&key, profile)),
        Err(VaultError::Refused(_)) => Ok(None),
        Err(VaultError::Unavailable(error)) => Err(error),
    }
}

fn opened(key: &DataKey, profile: &Profile) -> Option<String> {
    let subject = profile.key.user_id.uuid();
    let place = Column::AccountEmail.of(subject, subject);
    let email = key.open(&place, &profile.email_sealed).ok()?;
    String::from_utf8(email.to_vec()).ok()
}
