//! Keeps people's data keys under the vault's newest master key. No proof of the person is needed: nothing comes back in the
//! clear.

use std::sync::Arc;

use shared::{
    rewrap::{KeyTable, Rewrapping},
    serve::Shutdown,
};

use crate::{Journal, store::data_keys};

const TABLES: &[KeyTable] = &[data_keys::KEYS];

/// Works until the shutdown is requested.
pub(crate) async fn run(journal: Arc<Journal>, shutdown: Shutdown) {
    let rewrapping = Rewrapping {
        vault: &journal.vault,
        pool: &journal.pool,
        tables: TABLES,
        clock: &journal.clock,
    };
    rewrapping.run(shutdown).await;
}
