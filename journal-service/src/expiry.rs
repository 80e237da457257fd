//! Forgets what is over.

use std::{sync::Arc, time::Duration};

use shared::{problem::Unexpected, serve::Shutdown, service_token::forget_spent};
use tokio::time::sleep;

use crate::{Journal, store::idempotency_keys};

const EVERY: Duration = Duration::from_mins(1);
/// For how long a request that named itself can be repeated.
const REPEATED: time::Duration = time::Duration::DAY;

/// Works until the shutdown is requested.
pub(crate) async fn run(journal: Arc<Journal>, mut shutdown: Shutdown) {
    loop {
        if let Err(error) = turn(&journal).await {
            tracing::warn!(error = error.chain(), "what is over is not forgotten");
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn turn(journal: &Journal) -> Result<(), Unexpected> {
    let (db, now) = (journal.pool.get().await?, journal.clock.now());
    forget_spent(&*db, now).await?;
    idempotency_keys::forget(&*db, now - REPEATED).await
}
