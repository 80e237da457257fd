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
        limits::Reached,
        policy::{Caller, Denied, MasterKeyOperation, allow_master_keys},
        sealed_keyring::{Opener, SealedKeyring},
        share::{NotAShare, Share},
    },
    key_source::{KeySource, keyring, open_file, sealed_keyring},
    master_keys::MasterKeys,
    open_vault::{NotOpened, prepare_to_open, replace_master_keys},
    refusals::NOT_ALLOWED,
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

impl Progress {
    /// Remembers it for the audit. Of too many one is forgotten of somebody who may not even try, or else the last but one:
    /// the first are there, and so is the opening.
    fn note(&mut self, entry: Entry) {
        if self.unrecorded.len() == REMEMBERED {
            let mut denied = self.unrecorded.iter();
            let denied = denied.position(|it| it.outcome == NOT_ALLOWED.code);
            self.unrecorded.remove(denied.unwrap_or(REMEMBERED - 1));
        }
        self.unrecorded.push(entry);
    }

    /// The same of somebody who may not try: it displaces nothing.
    fn note_denied(&mut self, entry: Entry) {
        if self.unrecorded.len() < REMEMBERED {
            self.unrecorded.push(entry);
        }
    }
}

/// What is not open by then is sealed again: nothing is opened that is not on record, or for somebody who hung up; but
/// nobody closes an open vault by asking while the audit is away.
struct SealedAgain<'a>(&'a MasterKeys);

impl Drop for SealedAgain<'_> {
    fn drop(&mut self) {
        self.0.give_up_opening();
    }
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
    let operation = MasterKeyOperation::Unseal;
    if let Err(denied) = allowed(vault, caller, operation, now)? {
        let entry = Actor::calling(caller.service, now).did(operation.name(), NOT_ALLOWED.code);
        tracing::error!(caller = %caller.service, "the vault was asked to open by whom it does not obey");
        record_denied(vault, entry).await?;
        return Err(denied.into());
    }
    let mut progress = vault.unsealing.0.lock().await;
    let _sealed_again = SealedAgain(&vault.keys);
    // Whoever does not wait for the answer has tried, too.
    progress.note(Actor::calling(caller.service, now).did("unseal", "given_up"));
    let outcome = attempt(vault, &mut progress, secret, now).await;
    let told = match &outcome {
        Ok(true) => "ok",
        Ok(false) => "share_taken",
        Err(error) => error.code(),
    };
    if let Some(noted) = progress.unrecorded.last_mut() {
        told.clone_into(&mut noted.outcome);
    }
    let caller = caller.service;
    if outcome.is_ok() {
        tracing::warn!(%caller, told, "the vault was asked to open");
    } else {
        tracing::error!(%caller, told, "the vault was asked to open and does not");
    }
    record(vault, &mut progress).await?;
    vault.keys.opened();
    outcome.map(|_| status(vault, &progress))
}

/// Whether the policy lets the service. Whoever it does not let is counted, and fills neither log nor audit: the others are held
/// up by wrong attempts alone.
fn allowed(
    vault: &Vault,
    caller: Caller,
    operation: MasterKeyOperation,
    now: OffsetDateTime,
) -> Result<Result<(), Denied>, Reached> {
    let allowed = allow_master_keys(caller.service, operation);
    if allowed.is_err() {
        vault.limits.admit(caller.service, 1, &[], now)?;
    }
    Ok(allowed)
}

/// Records what somebody was denied, or keeps it until the audit takes records.
async fn record_denied(vault: &Vault, entry: Entry) -> Result<(), Unexpected> {
    let is_open = vault.keys.for_the_audit().is_ok();
    let recorded = if is_open {
        vault.audit.append(vec![entry.clone()]).await
    } else {
        Ok(())
    };
    if !is_open || recorded.is_err() {
        vault.unsealing.0.lock().await.note_denied(entry);
    }
    recorded
}

/// Records what was tried, as soon as the audit has its key.
async fn record(vault: &Vault, progress: &mut Progress) -> Result<(), Unexpected> {
    if progress.unrecorded.is_empty() || vault.keys.for_the_audit().is_err() {
        return Ok(());
    }
    vault.audit.append(progress.unrecorded.clone()).await?;
    progress.unrecorded.clear();
    Ok(())
}

/// Records what could not be recorded when it was tried, unless somebody is trying right now.
pub(crate) async fn record_attempts(vault: &Vault) -> Result<(), Unexpected> {
    match vault.unsealing.0.try_lock() {
        Ok(mut progress) => record(vault, &mut progress).await,
        Err(_) => Ok(()),
    }
}

/// `false` when more shares are needed.
async fn attempt(
    vault: &Vault,
    progress: &mut Progress,
    secret: Secret,
    now: OffsetDateTime,
) -> Result<bool, UnsealError> {
    if let Some(wait) = progress.attempts.wait(now) {
        return Err(UnsealError::Wait(wait));
    }
    // Counted before it is looked at: who hangs up meanwhile has had an attempt.
    let before = progress.attempts;
    progress.attempts.failed(now);
    let tried = tried(vault, progress, secret).await;
    if !matches!(tried, Err(UnsealError::Refused(_))) {
        progress.attempts = before;
    }
    let Some(keyring) = tried? else {
        return Ok(false);
    };
    progress.attempts.succeeded();
    let opened = match vault.keys.if_open() {
        Some(before) => replace_master_keys(vault, &before, &keyring)
            .await
            .map_err(NotOpened::from),
        None => prepare_to_open(vault, &keyring).await,
    };
    // While the database is away nobody has to gather all the holders of shares once more.
    if !matches!(opened, Err(NotOpened::Unexpected(_))) {
        progress.given.clear();
    }
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

/// Wipes the master keys. What a request that is under way has of them goes with it; it cannot be recorded any more, so
/// it fails.
pub(crate) async fn seal_vault(
    vault: &Vault,
    caller: Caller,
    now: OffsetDateTime,
) -> Result<SealStatus, UnsealError> {
    let operation = MasterKeyOperation::Seal;
    let did = |outcome| Actor::calling(caller.service, now).did(operation.name(), outcome);
    // Whoever is denied keeps nobody waiting who is not.
    if let Err(denied) = allowed(vault, caller, operation, now)? {
        tracing::error!(caller = %caller.service, "the vault was asked to close by whom it does not obey");
        record_denied(vault, did(NOT_ALLOWED.code)).await?;
        return Err(denied.into());
    }
    let mut progress = vault.unsealing.0.lock().await;
    if vault.keys.if_open().is_some() {
        let entry = did("ok");
        // Closing gives nothing away and is urgent: what is not recorded now is when the vault is open again.
        if vault.audit.append(vec![entry.clone()]).await.is_err() {
            progress.note(entry);
        }
    }
    vault.keys.wipe();
    progress.given.clear();
    tracing::warn!(caller = %caller.service, "the vault is sealed");
    // The others need not wait for it: what it lacks then it gets when it is opened.
    if let Ok(db) = vault.pool.get().await {
        // What it cannot say now is noticed a little later.
        let _ = replicas::leave(&*db, vault.replica).await;
    }
    Ok(status(vault, &progress))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_attempts_the_first_and_the_last_are_remembered() {
        let actor = Actor::by_itself(OffsetDateTime::UNIX_EPOCH);
        let mut progress = Progress::default();
        for number in 0..2 * REMEMBERED {
            progress.note(actor.did("unseal", &number.to_string()));
        }
        let of = |entry: Option<&Entry>| entry.map(|entry| entry.outcome.clone());
        assert_eq!(progress.unrecorded.len(), REMEMBERED);
        assert_eq!(of(progress.unrecorded.first()).as_deref(), Some("0"));
        assert_eq!(of(progress.unrecorded.last()).as_deref(), Some("1999"));
    }

    #[test]
    fn who_may_not_try_displaces_nobody_and_is_displaced() {
        let actor = Actor::by_itself(OffsetDateTime::UNIX_EPOCH);
        let denied = || actor.did("unseal", NOT_ALLOWED.code);
        let mut progress = Progress::default();
        for _ in 0..2 * REMEMBERED {
            progress.note_denied(denied());
        }
        for number in 0..REMEMBERED {
            progress.note(actor.did("unseal", &number.to_string()));
        }
        progress.note_denied(denied());
        let outcomes = progress.unrecorded.iter().map(|it| it.outcome.as_str());
        let numbers: Vec<_> = (0..REMEMBERED).map(|number| number.to_string()).collect();
        assert!(outcomes.eq(numbers.iter().map(String::as_str)));
    }
}
