//! A refusal that shows the entry as it is now.

use std::{fmt, time::Duration};

use poem_openapi::types::ToJSON;
use serde_json::Value;
use shared::problem::{Case, Current, Failure, FieldError, Unexpected};

use super::entries::Entry;
use crate::{
    domain::entry,
    entries::{delete::DeleteError, edit::EditError},
};

/// What an operation with `If-Match` refuses.
pub(super) trait Conflicting: Failure {
    /// The entry that is there instead of the one that was named.
    fn take_current(&mut self) -> Option<entry::Entry>;
}

impl Conflicting for EditError {
    fn take_current(&mut self) -> Option<entry::Entry> {
        match self {
            Self::Conflict(current) => current.entry.take().map(|entry| *entry),
            _ => None,
        }
    }
}

impl Conflicting for DeleteError {
    fn take_current(&mut self) -> Option<entry::Entry> {
        match self {
            Self::Conflict(current) => current.entry.take().map(|entry| *entry),
            _ => None,
        }
    }
}

/// The failure, and that entry as reading it would show it.
pub(super) struct WithCurrent<E> {
    failure: E,
    current: Option<Value>,
}

impl<E: Conflicting> From<E> for WithCurrent<E> {
    fn from(mut failure: E) -> Self {
        let current = failure.take_current();
        Self {
            current: current.and_then(|entry| Entry::from(entry).to_json()),
            failure,
        }
    }
}

impl<E: Failure> fmt::Debug for WithCurrent<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.failure, out)
    }
}

impl<E: Failure> fmt::Display for WithCurrent<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, out)
    }
}

impl<E: Failure> Failure for WithCurrent<E> {
    const CASES: &'static [Case] = E::CASES;
    const CURRENT: Option<Current> = Some(Current::of::<Entry>());

    fn case(&self) -> &'static Case {
        self.failure.case()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.failure.retry_after()
    }

    fn entity_tag(&self) -> Option<String> {
        self.failure.entity_tag()
    }

    fn current(&self) -> Option<Value> {
        self.current.clone()
    }

    fn errors(&self) -> Vec<FieldError> {
        self.failure.errors()
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        self.failure.unexpected()
    }
}
