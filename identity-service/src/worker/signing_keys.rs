//! Loads the signing keys as soon as Postgres and the vault are there, and keeps them current.

use std::{sync::Arc, time::Duration};

use shared::serve::Shutdown;
use tokio::time::sleep;

use crate::{Identity, signing_keys};

/// Between two looks, once there is a key. What an operator or another replica did to the keys shows here after
/// this time: short, because a key that leaked must stop counting; one small query all the same.
const EVERY: Duration = Duration::from_secs(5);
/// Between two tries, until there is one.
const AGAIN: Duration = Duration::from_millis(200);

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    loop {
        if let Err(error) = signing_keys::refresh(&identity, identity.clock.now()).await {
            tracing::warn!(error = error.chain(), "signing keys are not refreshed");
        }
        let pause = if identity.signing.is_ready() {
            EVERY
        } else {
            AGAIN
        };
        tokio::select! {
            () = shutdown.requested() => return,
            () = sleep(pause) => {}
        }
    }
}
