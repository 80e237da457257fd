//! The data key of one person: seals their address, their devices and their second factors.

use std::{sync::Arc, time::Duration};

use shared::{
    envelope::DataKey,
    problem::Unexpected,
    user_id::UserId,
    vault_client::{KeyOf, VaultError, WrappedKey},
};
use time::OffsetDateTime;

use crate::{Identity, erasure, store::accounts};

/// As the vault's policy names it.
const PURPOSE: &str = "account";
/// The generation of a new account's key.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// What the vault answers for somebody whose key is gone for good.
const SHREDDED: &str = "shredded";
/// What it answers for somebody whose slot it cannot open.
const DAMAGED: &str = "slot_damaged";
/// When a client asks again, the session is over.
const RETRY: Duration = Duration::from_secs(1);

/// A person's key as it is stored.
pub(crate) struct PersonKey {
    pub(crate) user_id: UserId,
    pub(crate) generation: u32,
    pub(crate) wrapped: WrappedKey,
}

impl PersonKey {
    /// The key of a person who gets their account now.
    pub(crate) async fn create(
        identity: &Identity,
        user_id: UserId,
        now: OffsetDateTime,
    ) -> Result<(Self, Arc<DataKey>), Unexpected> {
        let of = key_of(user_id, FIRST_GENERATION);
        let created = identity.vault.create(of, None, now).await;
        let (wrapped, key) = created.map_err(|error| match error {
            VaultError::Refused(code) if code == DAMAGED => unreadable(user_id, &code),
            error => error.into(),
        })?;
        let stored = Self {
            user_id,
            generation: FIRST_GENERATION,
            wrapped,
        };
        Ok((stored, key))
    }

    /// The key itself: from memory, or from the vault.
    pub(crate) async fn open(
        &self,
        identity: &Identity,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, Unexpected> {
        match self.ask_for(identity, now).await {
            Err(VaultError::Refused(code)) if code == SHREDDED => {
                erasure::begin_again(identity, self.user_id, now).await?;
                Err(Unexpected::unavailable(
                    "the key of an account that is deleted",
                    RETRY,
                ))
            }
            Err(VaultError::Refused(code)) => Err(unreadable(self.user_id, &code)),
            Err(VaultError::Unavailable(unexpected)) => Err(unexpected),
            Ok(key) => Ok(key),
        }
    }

    /// The same for whoever works on the deletion of the account, and expects to be refused.
    pub(crate) async fn ask_for(
        &self,
        identity: &Identity,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, VaultError> {
        let of = key_of(self.user_id, self.generation);
        identity.vault.unwrap(of, &self.wrapped, None, now).await
    }
}

/// The key of an account; `None` when there is no such account.
pub(crate) async fn opened(
    identity: &Identity,
    user_id: UserId,
    now: OffsetDateTime,
) -> Result<Option<Arc<DataKey>>, Unexpected> {
    let stored = accounts::key(&*identity.pool.get().await?, user_id).await?;
    match stored {
        Some(stored) => Ok(Some(stored.open(identity, now).await?)),
        None => Ok(None),
    }
}

/// The same for what is shown without it when need be: `None` when it does not open, too.
pub(crate) async fn if_readable(
    identity: &Identity,
    user_id: UserId,
    now: OffsetDateTime,
) -> Result<Option<Arc<DataKey>>, Unexpected> {
    match opened(identity, user_id, now).await {
        Err(error) if error.is_unreadable() => Ok(None),
        key => key,
    }
}

/// To whoever asks it is one of their conflicts; to the operator it is told here.
fn unreadable(user_id: UserId, code: &str) -> Unexpected {
    tracing::error!(user.id = %user_id, code, "the vault does not open the key of an account");
    Unexpected::unreadable(format!("the key of account {user_id}: {code}"))
}

fn key_of(user_id: UserId, generation: u32) -> KeyOf {
    KeyOf {
        subject: user_id.uuid(),
        purpose: PURPOSE,
        generation,
    }
}
