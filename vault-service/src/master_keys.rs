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

    /// Opens the vault, or gives it other keys. Those before are wiped when the last request that has them ends.
    pub(crate) fn put(&self, keyring: Keyring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keyring));
    }
}
