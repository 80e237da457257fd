//! The keys a verifier trusts: handed over, or fetched from identity and kept while identity is away.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use jsonwebtoken::DecodingKey;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    jwk::{Jwk, JwkSet, UnusableKey},
    problem::Unexpected,
};

/// A fetched set is looked at again after this time, so that a withdrawn key stops counting.
const FRESH: Duration = Duration::minutes(5);
/// The least time between two fetches, so that tokens with made-up key names cannot make us ask often.
const PAUSE: Duration = Duration::seconds(10);
/// How long one fetch may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Public keys by name.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, Arc<DecodingKey>>);

impl KeySet {
    /// The keys of a JWK set; one that is no Ed25519 signature key makes the whole set suspect.
    pub fn from_jwks(set: &JwkSet) -> Result<Self, UnusableKey> {
        let key = |jwk: &Jwk| Ok((jwk.kid.clone(), Arc::new(jwk.decoding_key()?)));
        set.keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug)]
pub(super) enum Keys {
    /// Handed over by the service itself.
    Local(RwLock<KeySet>),
    /// Fetched.
    Remote(Arc<Remote>),
}

#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    http: reqwest::Client,
    clock: Clock,
    /// The last set, and when it came.
    current: RwLock<Option<(KeySet, OffsetDateTime)>>,
    /// The last try. Locked while one is under way, so that a burst of unknown names asks once.
    tried: Mutex<Option<OffsetDateTime>>,
}

impl Keys {
    pub(super) fn local() -> Self {
        Self::Local(RwLock::default())
    }

    pub(super) fn remote(url: &str, clock: &Clock) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .no_proxy()
            .build()
            .expect("a client without certificates of its own always builds");
        Self::Remote(Arc::new(Remote {
            url: url.to_owned(),
            http,
            clock: clock.clone(),
            current: RwLock::default(),
            tried: Mutex::default(),
        }))
    }

    pub(super) fn replace(&self, keys: KeySet) {
        if let Self::Local(current) = self {
            *current.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// The key of that name. A known key is answered from memory whatever identity is doing; only a name
    /// never seen waits for a fetch.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, Unexpected> {
        match self {
            Self::Local(current) => {
                let keys = current.read().unwrap_or_else(PoisonError::into_inner);
                Ok(keys.0.get(kid).map(Arc::clone))
            }
            Self::Remote(remote) => remote.find(kid).await,
        }
    }
}

impl Remote {
    async fn find(self: &Arc<Self>, kid: &str) -> Result<Option<Arc<DecodingKey>>, Unexpected> {
        if let Some((key, fetched)) = self.known(kid) {
            if self.clock.now() - fetched >= FRESH {
                self.refresh_behind();
            }
            return Ok(Some(key));
        }
        let mut tried = self.tried.lock().await;
        // Somebody else may have fetched it while this one waited for the lock.
        if let Some((key, _)) = self.known(kid) {
            return Ok(Some(key));
        }
        let now = self.clock.now();
        let have_some = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        // Before the first success every token asks: identity may be starting beside us.
        if have_some && tried.is_some_and(|at| now - at < PAUSE) {
            return Ok(None);
        }
        *tried = Some(now);
        match self.fetch(now).await {
            Err(error) if !have_some => Err(error),
            _ => Ok(self.known(kid).map(|(key, _)| key)),
        }
    }

    fn known(&self, kid: &str) -> Option<(Arc<DecodingKey>, OffsetDateTime)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (keys, fetched) = current.as_ref()?;
        Some((keys.0.get(kid).map(Arc::clone)?, *fetched))
    }

    fn refresh_behind(self: &Arc<Self>) {
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(mut tried) = remote.tried.try_lock() else {
                return;
            };
            let now = remote.clock.now();
            if tried.is_none_or(|at| now - at >= PAUSE) {
                *tried = Some(now);
                if let Err(error) = remote.fetch(now).await {
                    tracing::warn!(error = %error.chain(), "keeping the signing keys fetched before");
                }
            }
        });
    }

    async fn fetch(&self, now: OffsetDateTime) -> Result<(), Unexpected> {
        let away = || Unexpected::unavailable("fetching identity's signing keys", PATIENCE);
        let answer = async {
            self.http
                .get(&self.url)
                .send()
                .await?
                .error_for_status()?
                .json::<JwkSet>()
                .await
        };
        let set = answer.await.map_err(|error| away().caused_by(error))?;
        let keys = KeySet::from_jwks(&set).map_err(|error| away().caused_by(error))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some((keys, now));
        Ok(())
    }
}
