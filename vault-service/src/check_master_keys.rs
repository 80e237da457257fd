//! Start-up: the master keys given must be the ones this vault's database was written with.

use std::time::Duration;

use shared::problem::Unexpected;
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;

use crate::{
    Vault,
    domain::keyring::{KeyVersion, Keyring},
    store::master_keys::{self, KnownVersion},
};

/// When to come again while another replica has a newer master key.
const RETRY: Duration = Duration::from_secs(5);

/// Why the vault must not serve with these keys. Names every version concerned.
#[derive(Debug, Error)]
pub(crate) enum WrongMasterKeys {
    #[error("has another key under version {} than this vault was set up with", list(.0))]
    Changed(Vec<KeyVersion>),
    #[error("lacks version {}, which people's keys still depend on", list(.0))]
    Missing(Vec<KeyVersion>),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Compares the ring with what the database remembers, and remembers versions that are new.
///
/// Nothing is written when something is wrong. Replicas that start at once with different keys under one
/// new version are caught by looking again: the first one's value stays.
pub(crate) async fn check_master_keys(
    db: &impl GenericClient,
    keyring: &Keyring,
    now: OffsetDateTime,
) -> Result<(), WrongMasterKeys> {
    compare(keyring, &master_keys::known(db).await?)?;
    let receipt_keys = keyring.receipt_keys();
    master_keys::remember(db, keyring.versions(), &receipt_keys, now).await?;
    compare(keyring, &master_keys::known(db).await?)
}

/// The same look, for the doctor: remembers nothing, and names the versions that it would.
pub(crate) async fn look_at_master_keys(
    db: &impl GenericClient,
    keyring: &Keyring,
) -> Result<String, WrongMasterKeys> {
    let known = master_keys::known(db).await?;
    compare(keyring, &known)?;
    let given = keyring.versions().iter().map(|(version, _)| *version);
    let new: Vec<_> = given
        .filter(|version| known.iter().all(|known| known.version != *version))
        .collect();
    Ok(list(&new))
}

/// Fails when another replica has one of these master keys, which are not here. What is wrapped under it must not be called
/// damaged then: its owner would replace what the other replicas open.
pub(crate) async fn check_for_newer_master_keys(
    vault: &Vault,
    wanted: &[KeyVersion],
) -> Result<(), Unexpected> {
    if wanted.is_empty() {
        return Ok(());
    }
    let known = master_keys::known(&*vault.pool.get().await?).await?;
    match known.iter().find(|known| wanted.contains(&known.version)) {
        Some(newer) => Err(Unexpected::unavailable(
            format!("master key version {} is not here yet", newer.version),
            RETRY,
        )),
        None => Ok(()),
    }
}

fn compare(keyring: &Keyring, known: &[KnownVersion]) -> Result<(), WrongMasterKeys> {
    let given = |version| {
        let mut versions = keyring.versions().iter();
        versions.find_map(|(number, kcv)| (*number == version).then_some(*kcv))
    };
    let versions_where = |wrong: &dyn Fn(&KnownVersion) -> bool| -> Vec<_> {
        let found = known.iter().filter(|known| wrong(known));
        found.map(|known| known.version).collect()
    };
    let changed = versions_where(&|known| given(known.version).is_some_and(|kcv| kcv != known.kcv));
    if !changed.is_empty() {
        return Err(WrongMasterKeys::Changed(changed));
    }
    let missing = versions_where(&|known| known.in_use && given(known.version).is_none());
    if !missing.is_empty() {
        return Err(WrongMasterKeys::Missing(missing));
    }
    Ok(())
}

fn list(versions: &[KeyVersion]) -> String {
    let numbers: Vec<_> = versions.iter().map(KeyVersion::to_string).collect();
    numbers.join(", ")
}
