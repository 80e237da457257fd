//! Opens a sealed vault with a passphrase or, one after another, with shares; and closes it again.
//!
//! What is tried while the vault is sealed cannot be recorded, since the key of the audit is derived from the master key: it
//! is in the log at once, and in the audit as soon as the vault is open.

use secrecy::{ExposeSecret, SecretString};
use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::{
    Vault,
    audit::Actor,
    domain::{
        attempts::Attempts,
        audit_chain::Entry,
        keyring::Keyring,
        policy::{Caller, MasterKeyOperation, allow_master_keys},
        sealed_keyring::{Opener, SealedKeyring},
        share::{NotAShare, Share},
    },
    key_source::{KeySource, keyring, open_file, sealed_keyring},
    open_vault::{NotOpened, open_vault, replace_master_keys},
    store::replicas,
    unseal_error::UnsealError,
};

/// Attempts that are remembered for the audit while the vault is sealed.
const REMEMBERED: usize = 1_000;

/// What somebody brings to open the vault.
pub(crate) enum Secret {
    /// Nothing: the keys lie open in a file.
    None,
    Passphrase(SecretString),
    Share(SecretString),
}

/// How far the opening has come. One attempt at a time.
#[derive(Default)]
pub(crate) struct Unsealing(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    given: Vec<Share>,
    attempts: Attempts,
    unrecorded: Vec<Entry>,
}

/// Whether the vault is open, and what is needed if it is not.
pub(crate) struct SealStatus {
    pub(crate) sealed: bool,
    pub(crate) opener: Option<Opener>,
    /// Shares that have been brought so far.
    pub(crate) shares_given: usize,
}

pub(crate) async fn seal_status(vault: &Vault) -> SealStatus {
    let progress = vault.unsealing.0.lock().await;
    status(vault, &progress)
}

fn status(vault: &Vault, progress: &Progress) -> SealStatus {
    SealStatus {
        sealed: vault.keys.if_open().is_none(),
        opener: vault.key_source.opener(),
        shares_given: progress.given.len(),
    }
}

/// Brings one secret. Opens the vault when it is enough; an open one takes what its file holds by now, so that a sealed
/// keyring can be exchanged without a restart.
pub(crate) async fn unseal_vault(
    vault: &Vault,
    caller: Caller,
    secret: Secret,
    now: OffsetDateTime,
) -> Result<SealStatus, UnsealError> {
    let mut progress = vault.unsealing.0.lock().await;
    let outcome = attempt(vault, &mut progress, caller, secret, now).await;
    let told = match &outcome {
        Ok(true) => "ok",
        Ok(false) => "share_taken",
        Err(error) => error.code(),
    };
    let caller = caller.service;
    if outcome.is_ok() {
        tracing::warn!(%caller, told, "the vault was asked to open");
    } else {
        tracing::error!(%caller, told, "the vault was asked to open and does not");
    }
    if progress.unrecorded.len() < REMEMBERED {
        let entry = Actor::calling(caller, now).did("unseal", told);
        progress.unrecorded.push(entry);
    }
    if vault.keys.if_open().is_some()
        && let Err(error) = record(vault, &mut progress).await
    {
        // Nothing is opened that is not on record.
        vault.keys.wipe();
        return Err(error.into());
    }
    outcome.map(|_| status(vault, &progress))
}

async fn record(vault: &Vault, progress: &mut Progress) -> Result<(), Unexpected> {
    vault.audit.append(progress.unrecorded.clone()).await?;
    progress.unrecorded.clear();
    Ok(())
}

/// `false` when more shares are needed.
async fn attempt(
    vault: &Vault,
    progress: &mut Progress,
    caller: Caller,
    secret: Secret,
    now: OffsetDateTime,
) -> Result<bool, UnsealError> {
    allow_master_keys(caller.service, MasterKeyOperation::Unseal)?;
    if let Some(wait) = progress.attempts.wait(now) {
        return Err(UnsealError::Wait(wait));
    }
    let keyring = match tried(vault, progress, secret).await {
        Ok(Some(keyring)) => keyring,
        Ok(None) => return Ok(false),
        Err(error) => {
            if matches!(error, UnsealError::Refused(_)) {
                progress.attempts.failed(now);
            }
            return Err(error);
        }
    };
    progress.attempts.succeeded();
    progress.given.clear();
    let opened = if vault.keys.if_open().is_some() {
        replace_master_keys(vault, &keyring)
            .await
            .map_err(NotOpened::from)
    } else {
        open_vault(vault, &keyring).await
    };
    opened?;
    Ok(true)
}

async fn tried(
    vault: &Vault,
    progress: &mut Progress,
    secret: Secret,
) -> Result<Option<Keyring>, UnsealError> {
    match (&vault.key_source, secret) {
        (KeySource::File(path), Secret::None) => {
            Ok(Some(open_file(path).map_err(UnsealError::Unusable)?))
        }
        (KeySource::Sealed(path), Secret::Passphrase(passphrase)) => {
            let sealed = sealed_keyring(path).map_err(UnsealError::Unusable)?;
            let Opener::Passphrase { .. } = sealed.opener() else {
                return Err(UnsealError::OtherOpener);
            };
            // It takes memory and the better part of a second.
            let opened =
                tokio::task::spawn_blocking(move || sealed.open_with_passphrase(&passphrase));
            let opened = opened
                .await
                .map_err(|_| Unexpected::bug("stretching a passphrase"))?;
            let refused = |_| UnsealError::Refused("The passphrase does not open the keyring.");
            ring(&opened.map_err(refused)?)
        }
        (KeySource::Sealed(path), Secret::Share(share)) => {
            let sealed = sealed_keyring(path).map_err(UnsealError::Unusable)?;
            with_share(&sealed, &mut progress.given, &share)
        }
        _ => Err(UnsealError::OtherOpener),
    }
}

fn with_share(
    sealed: &SealedKeyring,
    given: &mut Vec<Share>,
    share: &SecretString,
) -> Result<Option<Keyring>, UnsealError> {
    let Opener::Shares(set) = sealed.opener() else {
        return Err(UnsealError::OtherOpener);
    };
    let share = Share::parse(share.expose_secret(), set);
    let share = share.map_err(|why| {
        UnsealError::Refused(match why {
            NotAShare::Shape => "This is not a share.",
            NotAShare::Check => "The share has a typing error.",
            NotAShare::OtherSet => "The share is of another set.",
        })
    })?;
    // What was given for a file that has been exchanged since does not count.
    given.retain(|known| known.is_of(set) && !known.has_the_number_of(&share));
    given.push(share);
    if given.len() < usize::from(set.needed()) {
        return Ok(None);
    }
    let Ok(text) = sealed.open_with_shares(given) else {
        given.clear();
        let why = "The shares do not open the keyring; begin again.";
        return Err(UnsealError::Refused(why));
    };
    ring(&text)
}

fn ring(text: &Zeroizing<String>) -> Result<Option<Keyring>, UnsealError> {
    keyring(text).map(Some).map_err(UnsealError::Unusable)
}

/// Wipes the master keys. Requests that are under way end with those they have.
pub(crate) async fn seal_vault(
    vault: &Vault,
    caller: Caller,
    now: OffsetDateTime,
) -> Result<SealStatus, UnsealError> {
    let mut progress = vault.unsealing.0.lock().await;
    let operation = MasterKeyOperation::Seal;
    let allowed = allow_master_keys(caller.service, operation);
    if vault.keys.if_open().is_some() {
        let outcome = if allowed.is_ok() { "ok" } else { "not_allowed" };
        let entry = Actor::calling(caller.service, now).did(operation.name(), outcome);
        vault.audit.append(vec![entry]).await?;
    }
    allowed?;
    vault.keys.wipe();
    progress.given.clear();
    tracing::warn!(caller = %caller.service, "the vault is sealed");
    // The others need not wait for it: what it lacks then it gets when it is opened.
    replicas::leave(&*vault.pool.get().await?, vault.replica).await?;
    Ok(status(vault, &progress))
}
