//! The master keys of this process, for as long as they are open.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use shared::problem::Unexpected;

use crate::domain::keyring::Keyring;

/// When to come again while the vault is sealed.
const RETRY: Duration = Duration::from_secs(5);

/// Nothing, or the keys. They are replaced as a whole; what a request holds of them goes with the request.
#[derive(Default)]
pub(crate) struct MasterKeys(RwLock<Option<Arc<Keyring>>>);

impl MasterKeys {
    /// The keys as they are now. A request takes them once, so that all of it is done with the same.
    pub(crate) fn open(&self) -> Result<Arc<Keyring>, Unexpected> {
        self.if_open()
            .ok_or_else(|| Unexpected::unavailable("the vault is sealed", RETRY))
    }

    /// The same for whoever does without.
    pub(crate) fn if_open(&self) -> Option<Arc<Keyring>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Seals the vault. The keys are wiped when the last request that has them ends.
    pub(crate) fn wipe(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the vault.
    pub(crate) fn put(&self, keyring: Keyring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keyring));
    }

    /// Gives an open vault other keys in the place of those that were looked at, which are wiped when the last request that
    /// has them ends. `false` when those are not there any more: a vault that was sealed meanwhile stays sealed, and one that
    /// was given newer keys keeps them.
    pub(crate) fn exchange(&self, before: &Arc<Keyring>, keyring: Keyring) -> bool {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let are_there = keys.as_ref().is_some_and(|keys| Arc::ptr_eq(keys, before));
        if are_there {
            *keys = Some(Arc::new(keyring));
        }
        are_there
    }
}

#[cfg(test)]
mod tests {
    use shared::settings::versioned_keys;

    use super::*;

    fn ring() -> Keyring {
        let key = "1:8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";
        Keyring::new(versioned_keys(key).expect("a good setting")).expect("memory for keys")
    }

    #[test]
    fn keys_are_exchanged_only_for_those_that_were_looked_at() {
        let keys = MasterKeys::default();
        keys.put(ring());
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
