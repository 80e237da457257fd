//! Start-up: whoever was shredded stays shredded, whatever backup the database was restored from.

use std::{collections::HashSet, io, time::Duration};

use shared::problem::Unexpected;
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Vault,
    domain::{
        keyring::Keyring,
        receipt::ReceiptKeys,
        shred::{Purged, Shred},
    },
    store::{master_keys, shreds},
    tombstone_file::{Tombstone, TombstoneFile, Unreadable},
};

#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Shreds again, before the vault answers anybody, whomever the file names and the database has; and writes to the
/// file whom the database names and it does not.
pub(crate) async fn replay_tombstones(
    vault: &Vault,
    keyring: &Keyring,
    file: &TombstoneFile,
) -> Result<(), ReplayError> {
    let keys = receipt_keys(vault, keyring).await?;
    let done = purged_since(vault, OffsetDateTime::UNIX_EPOCH).await?;
    let gone: HashSet<_> = done.iter().map(|shred| shred.subject).collect();
    for tombstone in file.read(&keys).await? {
        // Nearly all of them at every start that follows no restore.
        if !gone.contains(&tombstone.statement.subject) {
            bury_again(vault, tombstone).await?;
        }
    }
    Ok(write(file, &done).await?)
}

/// The keys that verify receipts: those of the ring, and those of master keys that are gone.
pub(crate) async fn receipt_keys(
    vault: &Vault,
    keyring: &Keyring,
) -> Result<ReceiptKeys, Unexpected> {
    let db = vault.pool.get().await?;
    let remembered = master_keys::receipt_keys(&*db).await?;
    Ok(ReceiptKeys::new(remembered, keyring))
}

/// Tombstones of other replicas, and of a time without a file.
pub(crate) async fn write_missing(
    vault: &Vault,
    file: &TombstoneFile,
    since: OffsetDateTime,
) -> Result<(), Unexpected> {
    write(file, &purged_since(vault, since).await?).await
}

async fn purged_since(vault: &Vault, since: OffsetDateTime) -> Result<Vec<Shred>, Unexpected> {
    shreds::purged_since(&*vault.pool.get().await?, since).await
}

/// Those of them that the file lacks.
async fn write(file: &TombstoneFile, done: &[Shred]) -> Result<(), Unexpected> {
    let missing: Vec<_> = done
        .iter()
        .filter(|shred| !file.holds(shred.id))
        .filter_map(|shred| Some((shred.id, shred.purged.as_ref()?.receipt.as_str())))
        .collect();
    file.append(&missing).await.map_err(not_written)
}

/// Until the file can be written to nothing is confirmed.
pub(crate) fn not_written(error: io::Error) -> Unexpected {
    Unexpected::unavailable("the tombstone file", Duration::from_secs(5)).caused_by(error)
}

async fn bury_again(vault: &Vault, tombstone: Tombstone) -> Result<(), Unexpected> {
    let Tombstone { statement, receipt } = tombstone;
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await?;
    let known = shreds::lock(&transaction, statement.subject).await?;
    if known.is_some_and(|known| known.purged.is_some()) {
        return Ok(());
    }
    let shred = Shred {
        id: statement.shred_id,
        subject: statement.subject,
        requested_at: statement.requested_at,
        purge_at: statement.purged_at,
        purged: None,
    };
    let purged = Purged {
        at: statement.purged_at,
        receipt,
    };
    shreds::bury(&transaction, &shred, &purged).await?;
    transaction.commit().await?;
    tracing::warn!(subject = %shred.subject, shred_id = %shred.id, "shredded again after a restore");
    Ok(())
}
