//! What goes on behind the requests: mail, failed logins, signing keys, deletions, wrapped keys, and forgetting what is
//! over, keys in memory among it.

mod counters;
mod delivery;
mod erasures;
mod errand;
mod expiry;
mod failed_logins;
mod notice;
mod outbox;
mod rewrap;
mod signing_keys;

use std::{sync::Arc, time::Duration};

use shared::{
    problem::Unexpected,
    serve::{Background, Shutdown},
};
use tokio::{sync::Notify, time::sleep};

use crate::Identity;

/// Starts all loops; they run until the shutdown is requested.
pub(crate) fn start(identity: &Arc<Identity>, shutdown: &Shutdown) -> Background<Identity> {
    let mut work = Background::new(identity, shutdown);
    work.keep("counters", counters::run);
    work.keep("mail", outbox::run);
    work.keep("failed logins", failed_logins::run);
    work.keep("signing keys", signing_keys::run);
    work.keep("deletions", erasures::run);
    work.keep("keys in memory", wipe);
    work.keep("expiry", expiry::run);
    work.keep("wrapped keys", rewrap::run);
    work
}

async fn wipe(identity: Arc<Identity>, shutdown: Shutdown) {
    identity.vault.wipe(shutdown).await;
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
