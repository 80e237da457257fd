//! A person who is logged in proves again that it is them, before something that a stolen session must not do.

use secrecy::SecretString;
use shared::{
    access_token::Caller,
    problem::{Case, Unexpected},
};
use time::OffsetDateTime;

use crate::{
    Identity,
    domain::password::Password,
    hashing::Overloaded,
    login::compare,
    store::{accounts, sessions},
};

/// 403 and not 401: the access token is good, and a client that refreshed it and tried again would not get further.
pub(crate) const WRONG_PASSWORD: Case = Case::new(403, "wrong_password", "The password is wrong");

/// Why it is not proven.
pub(crate) enum NotProven {
    /// The session of the access token has ended.
    Ended,
    WrongPassword,
    Overloaded(Overloaded),
    Unexpected(Unexpected),
}

/// Compares the caller's password.
pub(crate) async fn reauthenticate(
    identity: &Identity,
    caller: &Caller,
    password: &SecretString,
    now: OffsetDateTime,
) -> Result<(), NotProven> {
    let user = caller.user_id();
    let credentials = {
        let db = identity.pool.get().await?;
        if !sessions::is_alive(&*db, caller.session_id(), user, now).await? {
            return Err(NotProven::Ended);
        }
        accounts::credentials_of(&*db, user).await?
    };
    let compared = compare(identity, Password::presented(password), credentials).await;
    match compared.map_err(NotProven::Overloaded)? {
        Some(_) => Ok(()),
        None => Err(NotProven::WrongPassword),
    }
}

impl From<Unexpected> for NotProven {
    fn from(unexpected: Unexpected) -> Self {
        Self::Unexpected(unexpected)
    }
}
