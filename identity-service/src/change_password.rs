//! A person who knows their password chooses another one. Whoever else is logged in to the account is out; the session
//! that asked goes on.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{
        Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, RECORD_UNREADABLE, UNAVAILABLE,
        Unexpected,
    },
};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity,
    chosen_password::{self, NotChosen, Replacement},
    device::{Device, Sighting},
    domain::{
        device_token::{self, Holder},
        event::Event,
        notice::Notice,
        password::Password,
    },
    events,
    hashing::OVERLOADED,
    lockout::TOO_MANY_ATTEMPTS,
    notices,
    reauthentication::{NotProven, WRONG_PASSWORD, reauthenticate},
    refresh::SESSION_ENDED,
    store::{
        accounts,
        sessions::{self, EndReason},
    },
};

/// Both passwords as they came.
pub(crate) struct Change {
    pub(crate) current_password: SecretString,
    pub(crate) new_password: SecretString,
    pub(crate) device: Device,
}

#[derive(Debug, Error)]
pub(crate) enum ChangePasswordError {
    #[error("See errors for what is wrong and where.")]
    NothingNew,
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error(transparent)]
    NotChosen(#[from] NotChosen),
}

impl Failure for ChangePasswordError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        SESSION_ENDED,
        WRONG_PASSWORD,
        TOO_MANY_ATTEMPTS,
        RECORD_UNREADABLE,
        OVERLOADED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::NothingNew => &INVALID_REQUEST,
            Self::NotProven(why) => why.case(),
            Self::NotChosen(why) => why.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::NothingNew => None,
            Self::NotProven(why) => why.retry_after(),
            Self::NotChosen(why) => why.retry_after(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::NothingNew => {
                let error = FieldError::body("new_password", "is the present password");
                vec![error.coded("present_password")]
            }
            Self::NotProven(_) => Vec::new(),
            Self::NotChosen(why) => why.errors(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::NothingNew => None,
            Self::NotProven(why) => why.unexpected(),
            Self::NotChosen(why) => why.unexpected(),
        }
    }
}

impl From<Unexpected> for ChangePasswordError {
    fn from(unexpected: Unexpected) -> Self {
        Self::NotProven(unexpected.into())
    }
}

/// Replaces the password; what the device has for having done so, as those from before are void. Of several changes at
/// once, all with the right password, one succeeds.
pub(crate) async fn change_password(
    identity: &Identity,
    caller: &Caller,
    change: Change,
    now: OffsetDateTime,
) -> Result<SecretString, ChangePasswordError> {
    let Change {
        current_password,
        new_password,
        device,
    } = change;
    if Password::presented(&current_password).is(&Password::presented(&new_password)) {
        return Err(ChangePasswordError::NothingNew);
    }
    let user = caller.user_id();
    let epoch = reauthenticate(identity, caller, &current_password, &device, now)
        .await?
        .epoch;
    let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
    let profile = profile.ok_or(NotProven::Ended)?;
    let replacement = chosen_password::replacement(identity, &profile, new_password, now).await?;
    let sighting = Sighting::of(identity, user, device, now).await;
    let change = Prepared {
        session: caller.session_id(),
        epoch,
        replacement: &replacement,
        sighting: &sighting,
    };
    let holder = change.store(identity, now).await?;
    identity.outbox_filled.notify_one();
    Ok(device_token::issue(&identity.secrets, holder, now))
}

/// A change that only has to be stored.
struct Prepared<'a> {
    session: Uuid,
    /// Of the account when its password was compared.
    epoch: i64,
    replacement: &'a Replacement,
    sighting: &'a Sighting,
}

impl Prepared<'_> {
    async fn store(&self, identity: &Identity, now: OffsetDateTime) -> Result<Holder, NotProven> {
        let user = self.sighting.user;
        let mut db = identity.pool.get().await?;
        let transaction = db.transaction().await.map_err(Unexpected::from)?;
        // Sessions before the account, as everywhere, so that nobody waits in a circle.
        let reason = EndReason::PasswordChange;
        let going_on = sessions::end_others(&transaction, user, self.session, reason, now).await?;
        if !going_on {
            return Err(NotProven::Ended);
        }
        let Replacement {
            password,
            email_index,
        } = self.replacement;
        let replaced =
            accounts::replace_password(&transaction, user, self.epoch, password, email_index);
        let Some(epoch) = replaced.await? else {
            transaction.rollback().await.map_err(Unexpected::from)?;
            // Another change was quicker, and what was proven is not the password any more; or all of it is over.
            let going_on = sessions::is_alive(&*db, self.session, user, now).await?;
            return Err(if going_on {
                NotProven::WrongPassword
            } else {
                NotProven::Ended
            });
        };
        events::record(&transaction, self.sighting, Event::PasswordChanged, now).await?;
        notices::queue(&transaction, self.sighting, Notice::PasswordChanged, now).await?;
        transaction.commit().await.map_err(Unexpected::from)?;
        Ok(Holder {
            user_id: user,
            epoch,
        })
    }
}
