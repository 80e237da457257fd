//! Keys in the clear, kept for a while: absolutely no longer than five minutes, and wiped then.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use tokio::time::sleep;

use super::{KeyOf, WrappedKey};
use crate::{envelope::DataKey, serve::Shutdown};

/// Absolute: a key that was fetched is forgotten, and wiped, after this time even when it is in use. The cache drops
/// what is over when it is used; [`wipe`] sees to it when nobody comes.
const KEEP: Duration = Duration::from_mins(4);
/// Keys are wiped at most this long after their time.
const WIPE_EVERY: Duration = Duration::from_secs(30);
/// Keys held at most; the least recently used goes first.
const KEYS: u64 = 10_000;

/// By the key that is meant and the bytes that it was wrapped in.
pub(super) type Keys = Cache<(KeyOf, WrappedKey), Arc<DataKey>>;
/// The bytes that a key was last seen wrapped in.
pub(super) type Latest = Cache<KeyOf, WrappedKey>;

/// An empty cache.
pub(super) fn keys() -> Keys {
    keys_for(KEEP)
}

/// An empty one, for as many keys.
pub(super) fn latest() -> Latest {
    Cache::builder()
        .max_capacity(KEYS)
        .time_to_live(KEEP)
        .build()
}

/// Wipes what is over, also while nobody asks, until the shutdown is requested.
pub(super) async fn wipe(keys: &Keys, shutdown: Shutdown) {
    wipe_every(keys, WIPE_EVERY, shutdown).await;
}

fn keys_for(keep: Duration) -> Keys {
    Cache::builder()
        .max_capacity(KEYS)
        .time_to_live(keep)
        .support_invalidation_closures()
        .build()
}

async fn wipe_every(keys: &Keys, every: Duration, mut shutdown: Shutdown) {
    loop {
        keys.run_pending_tasks().await;
        tokio::select! {
            () = shutdown.requested() => return,
            () = sleep(every) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_key_whose_time_is_over_is_wiped_though_nobody_asks_for_any() {
        let keys = keys_for(Duration::from_millis(50));
        let of = KeyOf {
            subject: Uuid::from_u128(1),
            purpose: "test",
            generation: 1,
        };
        let key = Arc::new(DataKey::generate(1));
        let kept = Arc::downgrade(&key);
        keys.insert((of, WrappedKey(Vec::new())), key).await;
        let (_trigger, shutdown) = Shutdown::manual();
        let wiping = wipe_every(&keys, Duration::from_millis(10), shutdown);
        let gone = async {
            while kept.strong_count() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = Duration::from_secs(5);
        tokio::select! {
            () = wiping => panic!("it goes on"),
            result = timeout(patience, gone) => result.expect("it is dropped"),
        }
    }
}
