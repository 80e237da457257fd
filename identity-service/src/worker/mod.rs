//! What goes on behind the requests: mail, failed logins, signing keys, deletions, and forgetting what is over.

mod counters;
mod delivery;
mod erasures;
mod errand;
mod expiry;
mod failed_logins;
mod notice;
mod outbox;
mod signing_keys;

use std::sync::Arc;

use shared::serve::Shutdown;
use tokio::task::JoinSet;

use crate::Identity;

/// Runs all loops until the shutdown is requested.
pub(crate) async fn run(identity: Arc<Identity>, shutdown: Shutdown) {
    let mut loops = JoinSet::new();
    loops.spawn(counters::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(outbox::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(failed_logins::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(signing_keys::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(erasures::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(expiry::run(identity, shutdown));
    loops.join_all().await;
}
