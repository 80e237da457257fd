//! One request to stop, seen by every loop of the process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells that the process should stop. Clones see the same request.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks for the stop. Dropping it asks as well, so a test that fails stops what it started.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Shutdown {
    /// Requested by SIGTERM or SIGINT. Must be called inside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let (trigger, shutdown) = Self::manual();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "shutdown requested");
            trigger.request();
        });
        Ok(shutdown)
    }

    /// Requested by hand.
    pub fn manual() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Returns once the stop is asked for; at once when it was before.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which asks as well.
        let _ = self.0.wait_for(|requested| *requested).await;
    }

    /// Whether the stop was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Trigger {
    /// Asks for the stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}
