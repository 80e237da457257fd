//! Whoever reads the mails of an account's address chooses a new password for it. That logs nobody in, and clears
//! neither a second factor nor a lockout: a thief of the mailbox has shown less than a login asks for. It makes the
//! device known, so that strangers who hammer the address do not keep its owner from the login that comes next.

use secrecy::SecretString;
use shared::{
    access_token::CROSS_SITE,
    problem::{
        Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, RECORD_UNREADABLE, UNAVAILABLE,
        Unexpected,
    },
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    chosen_password::{self, NotChosen, Replacement},
    device::{Device, Sighting},
    domain::{
        device_token::{self, Holder},
        event::Event,
        notice::Notice,
        single_use_token::{Purpose, SingleUseToken, Sought},
        token_type::NotOurs,
    },
    events,
    hashing::OVERLOADED,
    notices,
    refresh::WRONG_TYPE,
    store::{
        accounts,
        password_resets::{self, Found},
        sessions::{self, EndReason},
    },
};

/// A reset as it came.
pub(crate) struct Reset {
    pub(crate) token: SecretString,
    pub(crate) new_password: SecretString,
    pub(crate) device: Device,
}

#[derive(Debug, Error)]
pub(crate) enum ResetError {
    /// Unknown, used, expired, or overtaken by something that ended all sessions: a client can do the same about each.
    #[error("Ask for another mail.")]
    InvalidToken,
    #[error("The token from a mail about a forgotten password is needed here.")]
    WrongTokenType,
    /// A page of another site asks for cookies.
    #[error("This page may not make the device known.")]
    CrossSite,
    #[error(transparent)]
    NotChosen(#[from] NotChosen),
}

const INVALID_TOKEN: Case = Case::new(
    400,
    "invalid_reset_token",
    "The token is not one that a password can be reset with",
);

impl Failure for ResetError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID_TOKEN,
        WRONG_TYPE,
        CROSS_SITE,
        RECORD_UNREADABLE,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::NotChosen(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::InvalidToken | Self::WrongTokenType | Self::CrossSite => None,
            Self::NotChosen(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidToken | Self::WrongTokenType | Self::CrossSite => Vec::new(),
            Self::NotChosen(why) => why.errors(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::InvalidToken | Self::WrongTokenType | Self::CrossSite => None,
            Self::NotChosen(why) => why.unexpected(),
        }
    }
}

impl From<NotOurs> for ResetError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

impl From<Unexpected> for ResetError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotChosen(unexpected.into())
    }
}

/// Replaces the password and ends every session; what the device has for having done so. A password that is not taken
/// leaves the token as it is; of several resets with one token, or with two for one account, one succeeds.
pub(crate) async fn reset_password(
    identity: &Identity,
    reset: Reset,
    now: OffsetDateTime,
) -> Result<SecretString, ResetError> {
    let Reset {
        token,
        new_password,
        device,
    } = reset;
    let token = SingleUseToken::presented(Purpose::PasswordReset, token)?;
    let token = token.sought(&identity.secrets);
    let (found, profile) = {
        let db = identity.pool.get().await?;
        let found = password_resets::find(&*db, &token, now).await?;
        let found = found.ok_or(ResetError::InvalidToken)?;
        let profile = accounts::profile(&*db, found.user_id).await?;
        (found, profile.ok_or(ResetError::InvalidToken)?)
    };
    let replacement = chosen_password::replacement(identity, &profile, new_password, now).await?;
    let sighting = Sighting::of(identity, found.user_id, device, now).await;
    let reset = Prepared {
        token: &token,
        found,
        replacement: &replacement,
        sighting: &sighting,
    };
    let holder = reset.store(identity, now).await?;
    let holder = holder.ok_or(ResetError::InvalidToken)?;
    identity.outbox_filled.notify_one();
    Ok(device_token::issue(&identity.secrets, holder, now))
}

/// A reset that only has to be stored.
struct Prepared<'a> {
    token: &'a Sought,
    found: Found,
    replacement: &'a Replacement,
    sighting: &'a Sighting,
}

impl Prepared<'_> {
    /// `None`, and nothing done, when the token or the account is not what it was.
    async fn store(
        &self,
        identity: &Identity,
        now: OffsetDateTime,
    ) -> Result<Option<Holder>, Unexpected> {
        let Found { user_id, epoch } = self.found;
        let mut db = identity.pool.get().await?;
        let transaction = db.transaction().await?;
        // Deleting it is using it.
        if !password_resets::take(&transaction, self.token).await? {
            return Ok(None);
        }
        // Sessions before the account, as everywhere, so that nobody waits in a circle.
        sessions::end_all(&transaction, user_id, EndReason::PasswordReset, now).await?;
        let Replacement {
            password,
            email_index,
        } = self.replacement;
        let replaced =
            accounts::replace_password(&transaction, user_id, epoch, password, email_index);
        let Some(epoch) = replaced.await? else {
            return Ok(None);
        };
        events::record(&transaction, self.sighting, Event::PasswordReset, now).await?;
        notices::queue(&transaction, self.sighting, Notice::PasswordChanged, now).await?;
        transaction.commit().await?;
        Ok(Some(Holder { user_id, epoch }))
    }
}
