//! Forgets what is over.

use std::{sync::Arc, time::Duration};

use shared::{problem::Unexpected, serve::Shutdown, service_token::forget_spent};
use tokio::time::sleep;

use crate::Journal;

const EVERY: Duration = Duration::from_mins(1);

/// Works until the shutdown is requested.
pub(crate) async fn run(journal: Arc<Journal>, mut shutdown: Shutdown) {
    loop {
        if let Err(error) = turn(&journal).await {
            tracing::warn!(error = error.chain(), "used tokens are not forgotten");
        }
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn turn(journal: &Journal) -> Result<(), Unexpected> {
    forget_spent(&*journal.pool.get().await?, journal.clock.now()).await
}
