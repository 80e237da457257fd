//! Keys in the clear, kept for a while: absolutely no longer than five minutes, and wiped then.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{KeyOf, WrappedKey};
use crate::{envelope::DataKey, serve::Shutdown};

/// Absolute: a key that was fetched is forgotten, and wiped, after this time even when it is in use. The cache drops
/// what is over when it is used; [`wipe`] sees to it when nobody comes.
const KEEP: Duration = Duration::from_mins(4);
/// Keys are wiped at most this long after their time.
const WIPE_EVERY: Duration = Duration::from_secs(30);
/// Longer than the vault is waited for: who asked it before a subject was forgotten puts nothing back.
const REMEMBER: Duration = Duration::from_mins(2);
/// Keys held at most; the least recently used goes first.
const KEYS: u64 = 10_000;

/// A key in the clear.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) key: Arc<DataKey>,
    /// When the vault was asked for it.
    pub(super) asked: Instant,
}

/// By the key that is meant and the bytes that it was wrapped in.
pub(super) type Keys = Cache<(KeyOf, WrappedKey), Opened>;
/// The bytes that a key was last seen wrapped in.
pub(super) type Latest = Cache<KeyOf, WrappedKey>;
/// Subjects whose keys were to be forgotten, and when.
pub(super) type Forgotten = Cache<Uuid, Instant>;

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

pub(super) fn forgotten() -> Forgotten {
    Cache::builder().time_to_live(REMEMBER).build()
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
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use poem::{endpoint::make, post, web::Json};
    use serde_json::json;
    use time::OffsetDateTime;
    use tokio::{sync::Notify, time::timeout};

    use super::*;
    use crate::vault_client::stub::stub;

    #[test]
    fn no_key_is_held_for_longer_than_five_minutes() {
        assert_eq!(keys().policy().time_to_live(), Some(KEEP));
        assert!(KEEP + WIPE_EVERY <= Duration::from_mins(5));
        assert_eq!(keys().policy().max_capacity(), Some(KEYS));
    }

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
        let asked = Instant::now();
        keys.insert((of, WrappedKey(Vec::new())), Opened { key, asked })
            .await;
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

    #[tokio::test]
    async fn what_the_vault_answers_after_a_subject_was_forgotten_is_not_kept() {
        let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, wait) = (Arc::clone(&asked), Arc::clone(&answer));
        let unwrap = make(move |_| {
            let (told, wait) = (Arc::clone(&told), Arc::clone(&wait));
            async move {
                told.notify_one();
                wait.notified().await;
                let key = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
                Json(json!({"items": [{"status": "ok", "plaintext_key": key}]}))
            }
        });
        let (vault, _running) = stub("/v1/data-keys/unwrap", post(unwrap)).await;
        let of = KeyOf {
            subject: Uuid::from_u128(1),
            purpose: "test",
            generation: 1,
        };
        for (forgotten, is_kept) in [(true, false), (false, true)] {
            let asking = vault.clone();
            let asking = tokio::spawn(async move {
                let wrapped = WrappedKey(vec![1]);
                let now = OffsetDateTime::UNIX_EPOCH;
                asking.unwrap(of, &wrapped, None, now).await.map(drop)
            });
            asked.notified().await;
            if forgotten {
                vault.forget(of.subject).await;
            }
            answer.notify_one();
            let answered = asking.await.expect("no panic");
            answered.expect("whoever asked before gets it");
            assert_eq!(vault.at_hand(of).await.is_some(), is_kept);
            assert_eq!(vault.keys.contains_key(&(of, WrappedKey(vec![1]))), is_kept);
        }
        vault.forget(of.subject).await;
        assert!(vault.at_hand(of).await.is_none(), "forgotten at once");
    }
}
