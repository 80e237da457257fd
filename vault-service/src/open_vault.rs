//! From sealed to open: with the right master keys, known to the other replicas, and with nobody who was shredded back.

use std::{sync::Arc, time::Duration};

use shared::problem::Unexpected;
use thiserror::Error;

use crate::{
    Vault,
    check_master_keys::{WrongMasterKeys, check_master_keys},
    domain::keyring::{KeyVersion, Keyring},
    limits,
    replay_tombstones::{ReplayError, replay_tombstones},
    store::{master_keys, replicas},
    tombstone_file::Unreadable,
};

/// When to come again after somebody else was first.
const RETRY: Duration = Duration::from_secs(1);

/// Why the vault stays as it is.
#[derive(Debug, Error)]
pub(crate) enum NotOpened {
    #[error(transparent)]
    WrongKeys(WrongMasterKeys),
    #[error(transparent)]
    Tombstones(Unreadable),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl From<WrongMasterKeys> for NotOpened {
    fn from(wrong: WrongMasterKeys) -> Self {
        match wrong {
            WrongMasterKeys::Unexpected(error) => Self::Unexpected(error),
            wrong => Self::WrongKeys(wrong),
        }
    }
}

impl From<ReplayError> for NotOpened {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Unexpected(error) => Self::Unexpected(error),
            ReplayError::Unreadable(why) => Self::Tombstones(why),
        }
    }
}

/// Gets a sealed vault ready to answer with these master keys, which are the audit's until the caller opens it.
pub(crate) async fn prepare_to_open(vault: &Vault, keyring: &Keyring) -> Result<(), NotOpened> {
    // It may say that it has them: it answers nobody without.
    let keyring = admit(vault, keyring, &numbers(keyring)).await?;
    if let Some(file) = &vault.tombstones {
        replay_tombstones(vault, &keyring, file).await?;
    }
    limits::remember(vault).await?;
    vault.keys.opening(keyring);
    Ok(())
}

/// Lets an open vault go on with other master keys, if they are the right ones and nobody has sealed it meanwhile.
///
/// Until its next look this replica says that it has what it has before and after: no version may begin to wrap that it
/// does not have yet, or not any more.
pub(crate) async fn replace_master_keys(
    vault: &Vault,
    before: &Arc<Keyring>,
    keyring: &Keyring,
) -> Result<(), WrongMasterKeys> {
    let mut both = numbers(keyring);
    both.retain(|version| before.holds(*version));
    let keyring = admit(vault, keyring, &both).await?;
    if !vault.keys.exchange(before, keyring) {
        let why = "the master keys were just changed by somebody else";
        return Err(Unexpected::unavailable(why, RETRY).into());
    }
    Ok(())
}

/// Under one lock with whoever lets another version wrap: what this replica says that it has.
async fn admit(
    vault: &Vault,
    keyring: &Keyring,
    announced: &[KeyVersion],
) -> Result<Keyring, WrongMasterKeys> {
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    master_keys::lock(&transaction).await?;
    let keyring = check_master_keys(&transaction, keyring, vault.clock.now()).await?;
    replicas::announce(&transaction, vault.replica, announced).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(keyring)
}

/// Its versions alone.
pub(crate) fn numbers(keyring: &Keyring) -> Vec<KeyVersion> {
    let versions = keyring.versions().iter();
    versions.map(|(version, _)| *version).collect()
}
