//! Ends shreds whose time has come: the salt goes, a tombstone and a receipt stay.

use std::{sync::Arc, time::Duration as Pause};

use shared::{problem::Unexpected, serve::Shutdown, service_token::forget_spent};
use time::{Duration, OffsetDateTime};
use tokio::time::sleep;
use tokio_postgres::Transaction;

use crate::{
    Vault,
    audit::Actor,
    domain::{
        receipt::Statement,
        shred::{Purged, Shred},
    },
    replay_tombstones::{not_written, write_missing},
    store::{shreds, wait_for_the_disk},
};

/// How often it is looked whether a shred is due.
const EVERY: Pause = Pause::from_secs(2);
/// How far back each look for other replicas' tombstones goes: more than their clocks and transactions take.
const LOOK_BACK: Duration = Duration::minutes(10);

/// Works until the shutdown is requested.
pub(crate) async fn run(vault: Arc<Vault>, mut shutdown: Shutdown) {
    loop {
        if let Err(error) = turn(&vault, &shutdown).await {
            tracing::warn!(error = error.chain(), "shreds wait");
        }
        if let Err(error) = forget(&vault).await {
            tracing::warn!(error = error.chain(), "used tokens are not forgotten");
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn turn(vault: &Vault, shutdown: &Shutdown) -> Result<(), Unexpected> {
    if vault.keys.if_open().is_none() {
        return Ok(());
    }
    while !shutdown.is_requested() && purge_due(vault, vault.clock.now()).await? {}
    if let Some(file) = &vault.tombstones {
        write_missing(vault, file, vault.clock.now() - LOOK_BACK).await?;
    }
    Ok(())
}

async fn forget(vault: &Vault) -> Result<(), Unexpected> {
    forget_spent(&*vault.pool.get().await?, vault.clock.now()).await
}

/// Ends one shred that is due and that no other replica is ending; `false` when there is none.
async fn purge_due(vault: &Vault, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await?;
    let Some(shred) = shreds::lock_due(&transaction, now).await? else {
        return Ok(false);
    };
    purge(vault, transaction, shred, now).await?;
    Ok(true)
}

/// Ends a shred that was begun without a wait. It is begun again here, under a lock that is held to the end: a restore
/// that was asked for a moment earlier must not come between the two.
pub(crate) async fn purge_at_once(
    vault: &Vault,
    begun: Shred,
    now: OffsetDateTime,
) -> Result<Shred, Unexpected> {
    let Shred { id, subject, .. } = begun;
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await?;
    let shred = shreds::begin(&transaction, subject, id, now, now).await?;
    if shred.purged.is_some() {
        return Ok(shred);
    }
    purge(vault, transaction, shred, now).await
}

/// The tombstone is in the file before the database says so: of a crash between the two, only a purge that is done
/// again is left. Nobody restores the subject meanwhile, since its time is over.
async fn purge(
    vault: &Vault,
    transaction: Transaction<'_>,
    shred: Shred,
    now: OffsetDateTime,
) -> Result<Shred, Unexpected> {
    wait_for_the_disk(&transaction).await?;
    let keyring = vault.keys.open()?;
    let receipt = keyring.sign_receipt(&Statement {
        shred_id: shred.id,
        subject: shred.subject,
        requested_at: shred.requested_at,
        purged_at: now,
    });
    let purged = Purged { at: now, receipt };
    shreds::bury(&transaction, &shred, &purged).await?;
    if let Some(file) = &vault.tombstones {
        let written = file.append(&[(shred.id, &purged.receipt)]).await;
        written.map_err(not_written)?;
    }
    let actor = Actor::by_itself(now);
    let entry = actor.did("purge", "ok").of(shred.subject);
    vault.audit.append(vec![entry]).await?;
    transaction.commit().await?;
    tracing::info!(
        subject = %shred.subject,
        shred_id = %shred.id,
        mek_version = %keyring.current(),
        "subject shredded"
    );
    Ok(Shred {
        purged: Some(purged),
        ..shred
    })
}
