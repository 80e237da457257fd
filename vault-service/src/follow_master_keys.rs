//! Rotation while the vault runs. A new master key is read from its file, wraps as soon as every replica that runs has it,
//! and everything of the vault's own is sealed anew under it. A version whose time is over is destroyed.

use std::{path::Path, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use shared::{problem::Unexpected, serve::Shutdown, settings::versioned_keys};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tokio_postgres::Transaction;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Vault,
    audit::Actor,
    check_master_keys::{WrongMasterKeys, active},
    domain::keyring::{KeyVersion, Keyring},
    keep_audit_keys::{is_kept, keep_audit_keys},
    key_source::KeySource,
    open_vault::{numbers, replace_master_keys},
    refusals::log_damage,
    store::{
        master_keys::{self, KnownVersion},
        replicas,
        subjects::{self, Resealed},
    },
    unseal_vault::record_attempts,
};

/// How often a replica says that it runs, and looks what is new.
const EVERY: Duration = Duration::from_secs(2);
/// Between two tries at slots that did not open.
const PATIENCE: time::Duration = time::Duration::minutes(5);

/// Works until the shutdown is requested; then the other replicas need not wait for this one any more.
pub(crate) async fn run(vault: Arc<Vault>, mut shutdown: Shutdown) {
    let mut follower = Follower::default();
    loop {
        if let Err(error) = follower.turn(&vault, &shutdown).await {
            tracing::warn!(error = error.chain(), "the master keys are not followed");
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            () = sleep(EVERY) => {}
        }
    }
    if let Ok(db) = vault.pool.get().await {
        // What it cannot say now is noticed a little later.
        let _ = replicas::leave(&*db, vault.replica).await;
    }
}

/// What one turn leaves for the next.
#[derive(Default)]
struct Follower {
    /// SHA-256 of the file of master keys as it was looked at last, or of why it could not be read.
    file: Option<[u8; 32]>,
    /// Not before then are slots tried again that did not open.
    reseal_at: Option<OffsetDateTime>,
    /// How far the slots have been looked through.
    looked_through: LookedThrough,
}

#[derive(Default)]
struct LookedThrough {
    after: Uuid,
    /// Whether any on the way did not open.
    damaged: bool,
}

impl Follower {
    async fn turn(&mut self, vault: &Vault, shutdown: &Shutdown) -> Result<(), Unexpected> {
        if vault.keys.if_open().is_none() {
            return Ok(());
        }
        if let KeySource::File(file) = &vault.key_source {
            self.read_again(vault, file).await?;
        }
        record_attempts(vault).await?;
        let now = vault.clock.now();
        let keyring = follow(vault, now).await?;
        if self.reseal_at.is_none_or(|at| at <= now) {
            keep_audit_keys(&keyring, &*vault.pool.get().await?).await?;
            self.reseal(vault, &keyring, now, shutdown).await?;
        }
        Ok(())
    }

    /// Takes what the file says now, if it says something else than before and is right. A wrong one is told once.
    async fn read_again(&mut self, vault: &Vault, file: &Path) -> Result<(), Unexpected> {
        let before = vault.keys.open()?;
        let read = tokio::fs::read_to_string(file).await.map(Zeroizing::new);
        let read = read.map_err(|error| format!("cannot be read: {}", error.kind()));
        let looked_at = read
            .as_ref()
            .map_or_else(String::as_bytes, |text| text.as_bytes());
        let digest = Some(Sha256::digest(looked_at).into());
        if digest == self.file {
            return Ok(());
        }
        let keyring = read
            .and_then(|text| versioned_keys(text.trim()))
            .and_then(|keys| Keyring::new(keys).map_err(|error| error.kind().to_string()));
        let taken = match keyring {
            Ok(keyring) => match replace_master_keys(vault, &before, &keyring).await {
                Err(WrongMasterKeys::Unexpected(error)) => {
                    return Err(error);
                }
                Err(wrong) => Err(wrong.to_string()),
                Ok(()) => Ok(()),
            },
            Err(problem) => Err(problem),
        };
        self.file = digest;
        metrics::gauge!("vault_master_key_file_refused").set(f64::from(u8::from(taken.is_err())));
        if let Err(problem) = taken {
            tracing::error!(
                problem,
                "the file of the master keys has changed and is not taken"
            );
        }
        Ok(())
    }

    /// Seals slots anew that an older version seals, for as long as a turn may take: a replica that is not heard of is taken
    /// for one that does not run. Those that do not open are left as they are.
    async fn reseal(
        &mut self,
        vault: &Vault,
        keyring: &Keyring,
        now: OffsetDateTime,
        shutdown: &Shutdown,
    ) -> Result<(), Unexpected> {
        let (began, current) = (Instant::now(), keyring.current());
        while !shutdown.is_requested() && began.elapsed() < EVERY {
            let LookedThrough { after, damaged } = &mut self.looked_through;
            let behind = subjects::behind(&*vault.pool.get().await?, current, *after).await?;
            let Some((last, _)) = behind.last() else {
                self.reseal_at = damaged.then_some(now + PATIENCE);
                self.looked_through = LookedThrough::default();
                return Ok(());
            };
            let (last, number) = (*last, behind.len());
            let slots: Vec<_> = behind
                .into_iter()
                .filter_map(|(subject, slot)| resealed(keyring, current, subject, slot))
                .collect();
            let done = subjects::reseal(&*vault.pool.get().await?, current, &slots, now).await?;
            *after = last;
            *damaged |= slots.len() < number;
            if done == 0 && !slots.is_empty() {
                // It wraps no more, or others are at it: not every two seconds in vain.
                tracing::warn!(version = %current, "no slot of these was sealed anew");
                *damaged = true;
            }
        }
        Ok(())
    }
}

/// One look at the database, under a lock with all other replicas: wraps with what wraps for all, lets a version wrap that
/// all have, destroys what is due. Gives the ring back as it is from now on.
async fn follow(vault: &Vault, now: OffsetDateTime) -> Result<Arc<Keyring>, Unexpected> {
    let keyring = vault.keys.open()?;
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await?;
    master_keys::lock(&transaction).await?;
    replicas::announce(&transaction, vault.replica, &numbers(&keyring)).await?;
    let known = master_keys::known(&transaction).await?;
    let mut wraps = active(&known).filter(|version| keyring.holds(*version));
    let newest = keyring.newest();
    let is_new = known
        .iter()
        .any(|it| it.version == newest && it.activated_at.is_none());
    if is_new && replicas::all_have(&transaction, newest).await? {
        record(vault, "activate_master_key", newest, now).await?;
        master_keys::activate(&transaction, newest, now).await?;
        tracing::info!(version = %newest, "a new master key wraps from now on");
        wraps = Some(newest);
    }
    // What is kept of older versions is sealed under the one that wraps.
    if let Some(version) = active(&known) {
        keyring.wrap_under(version);
    }
    let gone = destroy_due(vault, &transaction, &known, now).await?;
    transaction.commit().await?;
    if let Some(version) = wraps {
        keyring.wrap_under(version);
    }
    if gone.iter().any(|version| keyring.holds(*version)) {
        let rest = keyring.without(&gone);
        let rest = rest.map_err(|error| Unexpected::bug("no memory for keys").caused_by(error))?;
        if let Some(rest) = rest {
            // Otherwise somebody was first, and the next look does it.
            vault.keys.exchange(&keyring, rest);
        } else {
            tracing::error!("every master key of this replica is destroyed: it is sealed");
            vault.keys.wipe();
        }
    }
    vault.keys.open()
}

/// Destroys versions whose time has come, unless something depends on them after all: then they stay. All that are gone, by
/// whomever.
async fn destroy_due(
    vault: &Vault,
    transaction: &Transaction<'_>,
    known: &[KnownVersion],
    now: OffsetDateTime,
) -> Result<Vec<KeyVersion>, Unexpected> {
    let mut gone = Vec::new();
    let active = active(known);
    for known in known.iter().filter(|it| it.destroy_at.is_some()) {
        let version = known.version;
        let is_old = active.is_some_and(|active| version < active);
        let is_due = known.destroy_at.is_some_and(|at| at <= now);
        if known.destroyed_at.is_some() {
            gone.push(version);
            continue;
        }
        let in_use =
            known.in_use || is_due && master_keys::lock_in_use(transaction, version).await?;
        if in_use || !is_old {
            record(vault, "keep_master_key", version, now).await?;
            master_keys::schedule_destruction(transaction, version, None).await?;
            tracing::error!(%version, "a master key is in use and is not destroyed; it was to be");
        } else if is_due {
            if !is_kept(&*vault.keys.open()?, version, transaction).await? {
                tracing::error!(%version, "a master key is due and not destroyed: no audit key is kept of it, and it is not here");
                continue;
            }
            record(vault, "destroy_master_key", version, now).await?;
            master_keys::destroyed(transaction, version, now).await?;
            tracing::warn!(%version, "a master key is destroyed");
            gone.push(version);
        }
    }
    Ok(gone)
}

async fn record(
    vault: &Vault,
    operation: &str,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let entry = Actor::by_itself(now).did(operation, "ok");
    vault
        .audit
        .append(vec![entry.about_master_key(version)])
        .await
}

fn resealed(
    keyring: &Keyring,
    current: KeyVersion,
    subject: Uuid,
    before: Vec<u8>,
) -> Option<Resealed> {
    let salt = keyring.open_salt(subject, &before);
    let salt = salt.inspect_err(|cause| log_damage(subject, *cause)).ok()?;
    let (version, after) = keyring.seal_salt(subject, &salt);
    // Noted under another version than it is sealed under it would be lost with that one.
    (version == current).then_some(Resealed {
        subject,
        before,
        after,
    })
}
