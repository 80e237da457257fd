//! The master keys given must be the ones this vault's database was written with.

use std::{collections::HashSet, time::Duration};

use shared::problem::Unexpected;
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;

use crate::{
    Vault,
    domain::keyring::{KeyVersion, Keyring},
    store::master_keys::{self, KnownVersion},
};

/// When to come again while another replica has a master key that is not here.
const RETRY: Duration = Duration::from_secs(5);

/// Why the vault must not serve with these keys. Names every version concerned.
#[derive(Debug, Error)]
pub(crate) enum WrongMasterKeys {
    #[error("has another key under version {} than this vault was set up with", list(.0))]
    Changed(Vec<KeyVersion>),
    #[error("lacks version {}, which people's keys still depend on", list(.0))]
    Missing(Vec<KeyVersion>),
    #[error("has no version but {}, which has been destroyed", list(.0))]
    Destroyed(Vec<KeyVersion>),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Compares the ring with what the database remembers, remembers versions that are new, and gives a ring as it is to be
/// used: without versions that have been destroyed, and wrapping with the one that wraps for all replicas.
///
/// Nothing is written when something is wrong. Replicas that start at once with different keys under one
/// new version are caught by looking again: the first one's value stays.
pub(crate) async fn check_master_keys(
    db: &impl GenericClient,
    keyring: &Keyring,
    now: OffsetDateTime,
) -> Result<Keyring, WrongMasterKeys> {
    let keyring = usable(keyring, &master_keys::known(db).await?)?;
    let receipt_keys = keyring.receipt_keys();
    master_keys::remember(db, keyring.versions(), &receipt_keys, now).await?;
    let known = master_keys::known(db).await?;
    let keyring = usable(&keyring, &known)?;
    if let Some(active) = active(&known) {
        keyring.wrap_under(active);
    }
    Ok(keyring)
}

/// The version that wraps, once there is one.
pub(crate) fn active(known: &[KnownVersion]) -> Option<KeyVersion> {
    let active = known.iter().rev().find(|it| it.activated_at.is_some());
    active.map(|known| known.version)
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

/// Master keys that are wanted and not here.
pub(crate) struct Absent {
    /// Nothing ever opens what they wrap.
    pub(crate) destroyed: HashSet<KeyVersion>,
    /// Another replica has them, or the operator has left them out. What is wrapped under them must not be called damaged:
    /// its owner would replace what other replicas open.
    pub(crate) missing: HashSet<KeyVersion>,
}

/// What has become of them. Of what was never here nothing is said.
pub(crate) async fn absent_among(
    vault: &Vault,
    wanted: &HashSet<KeyVersion>,
) -> Result<Absent, Unexpected> {
    let known = if wanted.is_empty() {
        Vec::new()
    } else {
        master_keys::known(&*vault.pool.get().await?).await?
    };
    let known = known.iter().filter(|it| wanted.contains(&it.version));
    let versions = |are_destroyed: bool| {
        let some = known
            .clone()
            .filter(move |it| it.destroyed_at.is_some() == are_destroyed);
        some.map(|it| it.version).collect()
    };
    Ok(Absent {
        destroyed: versions(true),
        missing: versions(false),
    })
}

/// Why nothing can be made with a master key that is missing.
pub(crate) fn missing(version: KeyVersion) -> Unexpected {
    Unexpected::unavailable(format!("master key version {version} is not here"), RETRY)
}

/// The ring without what has been destroyed, if it is the right one.
fn usable(keyring: &Keyring, known: &[KnownVersion]) -> Result<Keyring, WrongMasterKeys> {
    compare(keyring, known)?;
    let is_gone = |version| {
        let mut gone = known.iter().filter(|known| known.destroyed_at.is_some());
        gone.any(|known| known.version == version)
    };
    let given = keyring.versions().iter().map(|(version, _)| *version);
    let gone: Vec<_> = given.filter(|version| is_gone(*version)).collect();
    if !gone.is_empty() {
        let versions = list(&gone);
        tracing::warn!(
            versions,
            "master keys that have been destroyed are given, and not used"
        );
    }
    let rest = keyring.without(&gone);
    let rest = rest.map_err(|error| Unexpected::bug("no memory for keys").caused_by(error))?;
    rest.ok_or(WrongMasterKeys::Destroyed(gone))
}

fn compare(keyring: &Keyring, known: &[KnownVersion]) -> Result<(), WrongMasterKeys> {
    let active = active(known);
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
    // What wraps for the other replicas is needed, too. What is destroyed opens nothing, whatever is noted under it.
    let needed = |known: &KnownVersion| {
        known.destroyed_at.is_none() && (known.in_use || active == Some(known.version))
    };
    let missing = versions_where(&|known| needed(known) && given(known.version).is_none());
    if !missing.is_empty() {
        return Err(WrongMasterKeys::Missing(missing));
    }
    Ok(())
}

fn list(versions: &[KeyVersion]) -> String {
    let numbers: Vec<_> = versions.iter().map(KeyVersion::to_string).collect();
    numbers.join(", ")
}
