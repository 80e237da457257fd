//! Keeps the audit keys of older master keys, so that their chains can be checked when these have been destroyed.

use std::collections::{BTreeSet, HashMap};

use shared::problem::Unexpected;
use tokio_postgres::GenericClient;

use crate::{
    domain::{
        kept_audit_key::{Damaged, KeptAuditKey, under},
        keyring::{KeyVersion, Keyring},
    },
    store::kept_audit_keys::{self, Kept},
};

/// Seals the audit key of every older version under the one that wraps, where it is not: from the ring, or from what an older
/// master key sealed. What the ring has counts against whatever the database says.
pub(crate) async fn keep_audit_keys(
    keyring: &Keyring,
    db: &impl GenericClient,
) -> Result<(), Unexpected> {
    let current = keyring.current();
    let kept = kept_audit_keys::all(db).await?;
    let kept: HashMap<_, _> = kept.into_iter().map(|it| (it.version, it)).collect();
    let here = keyring.versions().iter().map(|(version, _)| *version);
    let versions: BTreeSet<_> = here.chain(kept.keys().copied()).collect();
    for version in versions.into_iter().filter(|version| *version < current) {
        let known = kept.get(&version);
        let own = KeptAuditKey::of(keyring, version);
        let stored = known.and_then(|it| opened(keyring, it));
        let is_right = match (&own, &stored) {
            (Some(own), Some(stored)) => own == stored,
            // There is nothing to hold it against, or to put in its place.
            (None, _) => true,
            (Some(_), None) => false,
        };
        let is_moved = known.is_some_and(|it| under(&it.sealed) == Some(current));
        if is_right && is_moved {
            continue;
        }
        if let Some(key) = own.or(stored) {
            let (sealed_under, sealed) = key.seal(keyring, version);
            let key = Kept {
                version,
                sealed_under,
                sealed,
            };
            kept_audit_keys::keep(db, &key).await?;
        }
    }
    Ok(())
}

/// Whether the chains of a version can be checked without it, and so those of whatever it still seals.
pub(crate) async fn is_kept(
    keyring: &Keyring,
    version: KeyVersion,
    db: &impl GenericClient,
) -> Result<bool, Unexpected> {
    keep_audit_keys(keyring, db).await?;
    let kept = kept_audit_keys::all(db).await?;
    let depends = |it: &Kept| under(&it.sealed) == Some(version);
    // Those that open have been moved, so that what is left of them opens to nothing; unless it could not be tried.
    if !keyring.holds(version) && kept.iter().any(depends) {
        return Ok(false);
    }
    let own = kept.iter().find(|it| it.version == version);
    Ok(own.is_some_and(|it| !depends(it) && opened(keyring, it).is_some()))
}

fn opened(keyring: &Keyring, kept: &Kept) -> Option<KeptAuditKey> {
    let opened = KeptAuditKey::open(keyring, kept.version, &kept.sealed);
    let told = |cause: &Damaged| {
        tracing::error!(version = %kept.version, %cause, "a kept audit key does not open");
    };
    opened.inspect_err(told).ok()
}
