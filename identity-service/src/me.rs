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
    domain::{email_address::EmailAddress, sealed::Column},
    refresh::SESSION_ENDED,
    store::{
        accounts::{self, Profile},
        second_factors, sessions,
    },
};

/// The account in the clear. Personal data: no `Debug`.
pub(crate) struct Me {
    pub(crate) id: UserId,
    pub(crate) email: String,
    pub(crate) mfa_enabled: bool,
    /// With a second factor, and under the newest version of the secret.
    pub(crate) recovery_codes_left: Option<u32>,
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
    let (profile, recovery_codes_left) = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(MeError::Ended);
        }
        let profile = accounts::profile(&*db, user).await?.ok_or(MeError::Ended)?;
        let newest = identity.secrets.newest();
        let left = if profile.second_factor {
            Some(second_factors::recovery_codes_left(&*db, user, newest).await?)
        } else {
            None
        };
        (profile, left)
    };
    let email = address(identity, &profile, now).await?;
    Ok(Me {
        id: user,
        email,
        mfa_enabled: profile.second_factor,
        recovery_codes_left,
        created_at: profile.created_at,
    })
}

/// The address of an account, as its owner wrote it.
pub(crate) async fn address(
    identity: &Identity,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<String, Unexpected> {
    let user = profile.key.user_id;
    let key = profile.key.open(identity, now).await?;
    opened(identity, &key, profile)
        .ok_or_else(|| Unexpected::unreadable(format!("the address of account {user}")))
}

/// The same of an account that may be on its way out: `None` when nothing of it opens any more.
pub(crate) async fn address_if_readable(
    identity: &Identity,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<Option<String>, Unexpected> {
    match profile.key.ask_for(identity, now).await {
        Ok(key) => Ok(opened(identity, &key, profile)),
        Err(VaultError::Refused(_)) => Ok(None),
        Err(VaultError::Unavailable(error)) => Err(error),
    }
}

/// `None` when somebody changed it, which is logged here.
fn opened(identity: &Identity, key: &DataKey, profile: &Profile) -> Option<String> {
    let user = profile.key.user_id;
    let place = Column::AccountEmail.of(user.uuid(), user.uuid());
    let opened = key.open(&place, &profile.email_sealed).ok();
    let text = opened.and_then(|text| String::from_utf8(text.to_vec()).ok());
    let whole = text.filter(|text| is_found_by(identity, text, profile));
    if whole.is_none() {
        tracing::error!(user.id = %user, "the address of an account was tampered with: it is not the one that it had");
    }
    whole
}

/// Whether the account is found by this address, under any version of the secret. The column is written anew when the
/// address changes, in the same place: one from before opens there, too, and would be mailed at.
fn is_found_by(identity: &Identity, text: &str, profile: &Profile) -> bool {
    let indexes = EmailAddress::parse(text).map(|it| identity.secrets.email_indexes(&it));
    let index = profile.email_index.as_ref();
    indexes.is_some_and(|indexes| index.is_some_and(|index| indexes.contains(index)))
}
