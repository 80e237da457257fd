//! The ways a person or a supervisor tells the launcher to stop.

use stack::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM or a closed terminal. From its making on, none of them ends the launcher by itself.
pub(crate) struct Interrupt {
    ctrl_c: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupt {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(Failure::when("listen for signals"));
        Ok(Self {
            ctrl_c: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Returns the name of the signal that came.
    pub(crate) async fn came(&mut self) -> &'static str {
        tokio::select! {
            _ = self.ctrl_c.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "the end of the terminal",
        }
    }
}
