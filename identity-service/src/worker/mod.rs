//! What goes on behind the requests: mail, failed logins, signing keys, deletions, and forgetting what is over, keys in
//! memory among it.

mod counters;
mod delivery;
mod erasures;
mod errand;
mod expiry;
mod failed_logins;
mod notice;
mod outbox;
mod signing_keys;

use std::{sync::Arc, time::Duration};

use shared::{problem::Unexpected, serve::Shutdown};
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::Identity;

/// Runs all loops until the shutdown is requested.
pub(crate) async fn run(identity: Arc<Identity>, shutdown: Shutdown) {
    let mut loops = JoinSet::new();
    loops.spawn(counters::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(outbox::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(failed_logins::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(signing_keys::run(Arc::clone(&identity), shutdown.clone()));
    loops.spawn(erasures::run(Arc::clone(&identity), shutdown.clone()));
    let keeper = Arc::clone(&identity);
    let until = shutdown.clone();
    loops.spawn(async move { keeper.vault.wipe(until).await });
    loops.spawn(expiry::run(identity, shutdown));
    loops.join_all().await;
}

/// How often it is looked for work when nobody rings: for that of other replicas, and for what was put off.
const EVERY: Duration = Duration::from_secs(2);

/// What comes after one piece of work: the next, at once when there was one, and otherwise when somebody rings or it is
/// time to look. `false` when the shutdown is requested. `waits` is for the log, when the work failed.
async fn goes_on(
    worked: Result<bool, Unexpected>,
    waits: &'static str,
    bell: &Notify,
    shutdown: &mut Shutdown,
) -> bool {
    let more = worked.unwrap_or_else(|error| {
        tracing::warn!(error = error.chain(), "{waits}");
        false
    });
    let pause = if more { Duration::ZERO } else { EVERY };
    tokio::select! {
        biased;
        () = shutdown.requested() => false,
        () = bell.notified() => true,
        () = sleep(pause) => true,
    }
}
