//! The keys a verifier trusts: handed over, or fetched from identity and kept while identity is away.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, PoisonError, RwLock},
};

use jsonwebtoken::DecodingKey;
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    clock::Clock,
    jwk::{JwkSet, UnusableKey},
    problem::Unexpected,
};

/// A fetched set is looked at again after this time, behind the request that found it so old.
const FRESH: Duration = Duration::seconds(30);
/// A set this old is not used before identity was asked again, so that a withdrawn key stops counting everywhere
/// within a minute: the `max-age` that identity sends with it.
const STALE: Duration = Duration::minutes(1);
/// The least time between two fetches, so that tokens with made-up key names cannot make us ask often.
const PAUSE: Duration = Duration::seconds(10);
/// Before the first success a failed fetch speaks for this long only, because identity may be starting beside
/// us; long enough that a burst of requests waits for one fetch and not for one each.
const MOMENT: Duration = Duration::seconds(1);
/// How long one fetch may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// What failed when they are not to be had.
const FETCHING: &str = "fetching identity's signing keys";
/// Longer answers are given up on; a set of ours is below 2 KiB.
const LARGEST: usize = 64 * 1024;

/// Public keys by name, at least one.
#[derive(Clone, Debug)]
pub struct KeySet(HashMap<String, Arc<DecodingKey>>);

impl KeySet {
    /// The keys of a JWK set, all or none.
    pub fn from_jwks(set: &JwkSet) -> Result<Self, UnusableSet> {
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let key = Arc::new(jwk.decoding_key()?);
            if keys.insert(jwk.kid.clone(), key).is_some() {
                return Err(UnusableSet::Ambiguous);
            }
        }
        if keys.is_empty() {
            return Err(UnusableSet::Empty);
        }
        Ok(Self(keys))
    }
}

/// Why a set of keys verifies nothing. One bad key makes the whole set suspect.
#[derive(Debug, Error)]
pub enum UnusableSet {
    /// A key is not of the one kind.
    #[error("the set of keys has one that is {0}")]
    Key(#[from] UnusableKey),
    /// Two keys have one name, and which of them counts would be left to chance.
    #[error("the set of keys has two of one `kid`")]
    Ambiguous,
    /// A signer that has no key yet is starting, and says nothing about the tokens of its neighbours.
    #[error("the set of keys is empty")]
    Empty,
}

#[derive(Debug)]
pub(super) enum Keys {
    /// Handed over by the service itself; nothing until it did.
    Local(RwLock<Option<KeySet>>),
    /// Fetched.
    Remote(Arc<Remote>),
}

#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    http: reqwest::Client,
    clock: Clock,
    /// The last set.
    current: RwLock<Option<Fetched>>,
    /// The last try. Locked while one is under way, so that a burst of unknown names asks once.
    tried: Arc<Mutex<Option<Try>>>,
}

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    asked: OffsetDateTime,
    /// When a try to fetch it again failed.
    failed: Option<OffsetDateTime>,
}

/// How good a known key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Fresh,
    /// Good for now, and due to be fetched again.
    Due,
    /// Not to be used before identity was asked.
    Stale,
}

impl Fetched {
    fn age(&self, now: OffsetDateTime) -> Age {
        // A clock that was set back says nothing about what is past.
        let within = |past, time| (Duration::ZERO..time).contains(&(now - past));
        let away = self.failed.is_some_and(|failed| within(failed, STALE));
        if within(self.asked, FRESH) {
            Age::Fresh
        } else if within(self.asked, STALE) || away {
            Age::Due
        } else {
            Age::Stale
        }
    }
}

/// A fetch that is over.
#[derive(Debug)]
struct Try {
    ended: OffsetDateTime,
    outcome: Outcome,
    /// For how long it answers for those who come later.
    stands: Duration,
}

type Outcome = Result<(), Arc<dyn Error + Send + Sync>>;

impl Keys {
    pub(super) fn local() -> Self {
        Self::Local(RwLock::default())
    }

    pub(super) fn remote(url: &str, clock: &Clock) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .no_proxy()
            // Whoever can make identity's address redirect must not choose the keys.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without certificates of its own always builds");
        Self::Remote(Arc::new(Remote {
            url: url.to_owned(),
            http,
            clock: clock.clone(),
            current: RwLock::default(),
            tried: Arc::default(),
        }))
    }

    pub(super) fn replace(&self, keys: Option<KeySet>) {
        if let Self::Local(current) = self {
            *current.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
    }

    /// The key of that name. A key seen within the last minute, and any known one while identity is away, is
    /// answered from memory; a name never seen waits for a fetch, and so does whoever comes first after a longer
    /// silence. `None` only when the signer's present keys are known and it is not among them: a client takes that
    /// for the end of its session.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, Unexpected> {
        match self {
            Self::Local(current) => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner);
                let keys = current.as_ref().ok_or_else(|| {
                    Unexpected::unavailable("waiting for the signing keys to be loaded", PATIENCE)
                })?;
                Ok(keys.0.get(kid).map(Arc::clone))
            }
            Self::Remote(remote) => remote.find(kid).await,
        }
    }
}

impl Keys {
    /// How many there are, asked anew.
    pub(super) async fn fetch(&self) -> Result<usize, Unexpected> {
        match self {
            Self::Local(current) => {
                let current = current.read().unwrap_or_else(PoisonError::into_inner);
                Ok(current.as_ref().map_or(0, |keys| keys.0.len()))
            }
            Self::Remote(remote) => {
                let fetched = remote.download().await.map_err(|error| {
                    Unexpected::unavailable(FETCHING, PATIENCE).caused_by(error)
                })?;
                Ok(fetched.0.len())
            }
        }
    }
}

impl Remote {
    async fn find(self: &Arc<Self>, kid: &str) -> Result<Option<Arc<DecodingKey>>, Unexpected> {
        match self.known(kid) {
            Some((key, Age::Fresh)) => return Ok(Some(key)),
            Some((key, Age::Due)) => {
                self.refresh_behind();
                return Ok(Some(key));
            }
            Some((_, Age::Stale)) | None => {}
        }
        let tried = Arc::clone(&self.tried).lock_owned().await;
        // Somebody else may have asked while this one waited for the lock.
        if let Some((key, Age::Fresh | Age::Due)) = self.known(kid) {
            return Ok(Some(key));
        }
        let outcome = match standing(tried.as_ref(), self.clock.now()) {
            Some(outcome) => outcome,
            None => self.fetch(tried).await,
        };
        match (self.known(kid), outcome) {
            (Some((key, _)), _) => Ok(Some(key)),
            (None, Ok(())) => Ok(None),
            (None, Err(error)) => Err(Unexpected::unavailable(FETCHING, PATIENCE).caused_by(error)),
        }
    }

    fn known(&self, kid: &str) -> Option<(Arc<DecodingKey>, Age)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let fetched = current.as_ref()?;
        let key = fetched.keys.0.get(kid).map(Arc::clone)?;
        Some((key, fetched.age(self.clock.now())))
    }

    fn refresh_behind(self: &Arc<Self>) {
        let Ok(tried) = Arc::clone(&self.tried).try_lock_owned() else {
            return;
        };
        if standing(tried.as_ref(), self.clock.now()).is_none() {
            let remote = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = remote.fetch(tried).await {
                    tracing::warn!(%error, "keeping the signing keys fetched before");
                }
            });
        }
    }

    /// Fetches in a task of its own: a client that hangs up must not end what others wait for.
    async fn fetch(self: &Arc<Self>, mut tried: OwnedMutexGuard<Option<Try>>) -> Outcome {
        let remote = Arc::clone(self);
        let task = tokio::spawn(async move {
            let asked = remote.clock.now();
            let outcome = remote.download().await.map_err(Arc::from);
            let mut current = remote
                .current
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let outcome = match outcome {
                Ok(keys) => {
                    *current = Some(Fetched {
                        keys,
                        asked,
                        failed: None,
                    });
                    Ok(())
                }
                Err(error) => {
                    if let Some(fetched) = current.as_mut() {
                        fetched.failed = Some(remote.clock.now());
                    }
                    Err(error)
                }
            };
            *tried = Some(Try {
                ended: remote.clock.now(),
                outcome: outcome.clone(),
                stands: if current.is_some() { PAUSE } else { MOMENT },
            });
            outcome
        });
        task.await.unwrap_or_else(|died| Err(Arc::new(died)))
    }

    async fn download(&self) -> Result<KeySet, Box<dyn Error + Send + Sync>> {
        let mut answer = self.http.get(&self.url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err("the set of keys is too large".into());
            }
            body.extend_from_slice(&chunk);
        }
        let set: JwkSet = serde_json::from_slice(&body)?;
        Ok(KeySet::from_jwks(&set)?)
    }
}

/// What the last try still says. A clock that was set back does not make it stand longer.
fn standing(last: Option<&Try>, now: OffsetDateTime) -> Option<Outcome> {
    let last = last?;
    (Duration::ZERO..last.stands)
        .contains(&(now - last.ended))
        .then(|| last.outcome.clone())
}
