//! Keeps the audit keys of older master keys, so that their chains can be checked when these have been destroyed.

use std::collections::HashMap;

use shared::problem::Unexpected;
use tokio_postgres::GenericClient;

use crate::{
    domain::{
        kept_audit_key::KeptAuditKey,
        keyring::{KeyVersion, Keyring},
    },
    store::kept_audit_keys::{self, Kept},
};

/// Seals the audit key of every older version under the one that wraps now, where it is not: from the ring, or from what an
/// older master key sealed. One that does not open stays as it is.
pub(crate) async fn keep_audit_keys(
    keyring: &Keyring,
    db: &impl GenericClient,
) -> Result<(), Unexpected> {
    let current = keyring.current();
    let kept = kept_audit_keys::all(db).await?;
    let kept: HashMap<_, _> = kept.into_iter().map(|it| (it.version, it)).collect();
    let here = keyring.versions().iter().map(|(version, _)| *version);
    let mut versions: Vec<_> = here.chain(kept.keys().copied()).collect();
    versions.sort_unstable();
    versions.dedup();
    for version in versions.into_iter().filter(|version| *version < current) {
        let known = kept.get(&version);
        if known.is_some_and(|it| it.sealed_under >= current) {
            continue;
        }
        if let Some(key) = audit_key(keyring, version, known) {
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

fn audit_key(keyring: &Keyring, version: KeyVersion, known: Option<&Kept>) -> Option<KeptAuditKey> {
    let from_the_ring = KeptAuditKey::of(keyring, version);
    from_the_ring.or_else(|| {
        let opened = KeptAuditKey::open(keyring, version, &known?.sealed);
        opened
            .inspect_err(
                |cause| tracing::error!(%version, %cause, "a kept audit key does not open"),
            )
            .ok()
    })
}
