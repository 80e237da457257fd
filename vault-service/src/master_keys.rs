//! The master keys of this process, for as long as they are open.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use shared::problem::Unexpected;

use crate::domain::keyring::Keyring;

/// When to come again while the vault is sealed.
const RETRY: Duration = Duration::from_secs(5);

/// Nothing, or the keys. They are replaced as a whole; what a request holds of them goes with the request.
#[derive(Default)]
pub(crate) struct MasterKeys(RwLock<State>);

#[derive(Default)]
enum State {
    #[default]
    Sealed,
    /// For the audit alone, until it is on record who opened the vault.
    Opening(Arc<Keyring>),
    Open(Arc<Keyring>),
}

impl MasterKeys {
    /// The keys as they are now. A request takes them once, so that all of it is done with the same.
    pub(crate) fn open(&self) -> Result<Arc<Keyring>, Unexpected> {
        self.if_open().ok_or_else(sealed)
    }

    /// The same for whoever does without.
    pub(crate) fn if_open(&self) -> Option<Arc<Keyring>> {
        match &*self.read() {
            State::Open(keys) => Some(Arc::clone(keys)),
            State::Sealed | State::Opening(_) => None,
        }
    }

    /// The keys for the audit, which has them a little earlier than everybody else.
    pub(crate) fn for_the_audit(&self) -> Result<Arc<Keyring>, Unexpected> {
        match &*self.read() {
            State::Open(keys) | State::Opening(keys) => Ok(Arc::clone(keys)),
            State::Sealed => Err(sealed()),
        }
    }

    /// Seals the vault. The keys are wiped when the last request that has them ends.
    pub(crate) fn wipe(&self) {
        *self.write() = State::Sealed;
    }

    /// Gives a sealed vault its keys, for the audit alone; [`MasterKeys::opened`] gives them to everybody.
    pub(crate) fn opening(&self, keyring: Keyring) {
        *self.write() = State::Opening(Arc::new(keyring));
    }

    /// Seals a vault again that is still being opened.
    pub(crate) fn give_up_opening(&self) {
        let mut state = self.write();
        if let State::Opening(_) = &*state {
            *state = State::Sealed;
        }
    }

    /// Opens a vault that is being opened.
    pub(crate) fn opened(&self) {
        let mut state = self.write();
        *state = match std::mem::take(&mut *state) {
            State::Opening(keys) => State::Open(keys),
            other => other,
        };
    }

    /// Gives an open vault other keys in the place of those that were looked at, which are wiped when the last request that
    /// has them ends. `false` when those are not there any more: a vault that was sealed meanwhile stays sealed, and one that
    /// was given newer keys keeps them.
    pub(crate) fn exchange(&self, before: &Arc<Keyring>, keyring: Keyring) -> bool {
        let mut state = self.write();
        let are_there = matches!(&*state, State::Open(keys) if Arc::ptr_eq(keys, before));
        if are_there {
            *state = State::Open(Arc::new(keyring));
        }
        are_there
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sealed() -> Unexpected {
    Unexpected::unavailable("the vault is sealed", RETRY)
}

#[cfg(test)]
mod tests {
    use shared::settings::versioned_keys;

    use super::*;

    fn ring() -> Keyring {
        let key = "1:8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";
        Keyring::new(versioned_keys(key).expect("a good setting")).expect("memory for keys")
    }

    fn open() -> MasterKeys {
        let keys = MasterKeys::default();
        keys.opening(ring());
        keys.opened();
        keys
    }

    #[test]
    fn while_it_is_being_opened_the_audit_alone_has_the_keys() {
        let keys = MasterKeys::default();
        assert!(keys.for_the_audit().is_err());
        keys.opening(ring());
        let early = keys.for_the_audit().expect("for the audit");
        assert!(keys.open().is_err());
        assert!(!keys.exchange(&early, ring()));
        keys.opened();
        keys.give_up_opening();
        assert!(Arc::ptr_eq(&early, &keys.open().expect("open")));
        keys.opening(ring());
        keys.give_up_opening();
        assert!(keys.for_the_audit().is_err());
        // A sealed one does not open by itself.
        keys.wipe();
        keys.opened();
        assert!(keys.open().is_err());
        assert!(keys.for_the_audit().is_err());
    }

    #[test]
    fn keys_are_exchanged_only_for_those_that_were_looked_at() {
        let keys = open();
        let before = keys.if_open().expect("open");
        assert!(keys.exchange(&before, ring()));
        let after = keys.if_open().expect("open");
        assert!(!Arc::ptr_eq(&before, &after));
        // Somebody else was first.
        assert!(!keys.exchange(&before, ring()));
        assert!(Arc::ptr_eq(&after, &keys.if_open().expect("open")));
        // Whoever looked before it was sealed does not open it.
        keys.wipe();
        assert!(!keys.exchange(&after, ring()));
        assert!(keys.if_open().is_none());
    }
}
