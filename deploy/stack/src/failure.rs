//! What went wrong while starting or running a stack, as one sentence for the person at the terminal.

use std::error::Error;
use std::fmt;

/// A failure of the launcher. Nobody branches on its kind, so it is the sentence itself.
pub struct Failure(String);

impl Failure {
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// For `map_err`: "cannot `doing`: `error`", with the error's whole chain of sources.
    pub fn when<E: Error>(doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| {
            let mut sentence = format!("cannot {doing}: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                let text = error.to_string();
                if !sentence.ends_with(&text) {
                    sentence.push_str(": ");
                    sentence.push_str(&text);
                }
                source = error.source();
            }
            Self(sentence)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `expect` and `main` print Debug: the sentence is what a reader wants there too.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failure {}
