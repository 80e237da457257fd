//! Keeps what the vault has wrapped under its newest master key.

use std::sync::Arc;

use shared::{
    rewrap::{KeyTable, Rewrapping},
    serve::Shutdown,
};

use crate::{
    Identity,
    store::{accounts, service_keys, signing_keys},
};

const TABLES: &[KeyTable] = &[accounts::KEYS, service_keys::KEYS, signing_keys::KEYS];

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, shutdown: Shutdown) {
    let rewrapping = Rewrapping {
        vault: &identity.vault,
        pool: &identity.pool,
        tables: TABLES,
        clock: &identity.clock,
    };
    rewrapping.run(shutdown).await;
}
