//! Keeps the way to Redis open: limits are counted in memory for no longer than Redis is away.

use std::{sync::Arc, time::Duration};

use shared::serve::Shutdown;
use tokio::time::sleep;

use crate::Identity;

/// How long at most a Redis that is back goes unnoticed.
const EVERY: Duration = Duration::from_millis(500);

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    loop {
        identity.throttle.counters.check().await;
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = sleep(EVERY) => {}
        }
    }
}
