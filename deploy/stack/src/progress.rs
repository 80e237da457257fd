//! One readable line per step for the person at the terminal; a stack inside a test says nothing.

use std::fmt::Display;
use std::io::Write as _;

/// Whether and how steps are told.
#[derive(Clone, Copy)]
pub struct Progress {
    loud: bool,
}

impl Progress {
    pub fn told() -> Self {
        Self { loud: true }
    }

    pub fn silent() -> Self {
        Self { loud: false }
    }

    /// `postgres   ready in 0.31 s   127.0.0.1:40123`
    pub fn step(self, name: &str, text: impl Display) {
        self.line(format_args!("{name:<10} {text}"));
    }

    pub fn line(self, text: impl Display) {
        if self.loud {
            // A closed pipe (`cargo stack up | head`) must not end the stack halfway through its start.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }
}
