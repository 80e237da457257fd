//! The keys that sign access tokens: made here, sealed under the vault, loaded and rotated behind the
//! requests.

use std::{
    mem,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::EncodingKey;
use shared::{
    access_token::{KeySet, UnusableSet},
    jwk::{Jwk, JwkSet},
    problem::Unexpected,
    vault_client::KeyOf,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity,
    domain::{
        sealed::Column,
        signing_key::{KeyState, is_due, is_over},
    },
    rotate_keys::{Move, move_on},
    store::signing_keys::{self as store, StoredKey},
};

/// As the vault's policy names it.
const PURPOSE: &str = "signing-key";
const GENERATION: u32 = 1;

/// What this replica signs with and publishes.
#[derive(Default)]
pub(crate) struct SigningKeys(RwLock<Loaded>);

#[derive(Clone, Default)]
struct Loaded {
    active: Option<Arc<SigningKey>>,
    /// Every key that verifies: the active one, the one to come, those retired a moment ago.
    all: Vec<Arc<SigningKey>>,
}

/// A key whose seed the vault has opened.
pub(crate) struct SigningKey {
    pub(crate) key: EncodingKey,
    pub(crate) public: Jwk,
}

impl Loaded {
    fn add(&mut self, state: KeyState, key: Arc<SigningKey>) {
        if state == KeyState::Active {
            self.active = Some(Arc::clone(&key));
        }
        self.all.push(key);
    }
}

impl SigningKeys {
    /// The key to sign with; `Unavailable` until the vault has opened it.
    pub(crate) fn active(&self) -> Result<Arc<SigningKey>, Unexpected> {
        self.loaded().active.ok_or_else(|| {
            Unexpected::unavailable("the signing key is not open yet", Duration::from_secs(1))
        })
    }

    /// Whether tokens can be signed.
    pub(crate) fn is_ready(&self) -> bool {
        self.loaded().active.is_some()
    }

    /// What verifiers need.
    pub(crate) fn published(&self) -> JwkSet {
        JwkSet {
            keys: self
                .loaded()
                .all
                .iter()
                .map(|key| key.public.clone())
                .collect(),
        }
    }

    fn loaded(&self) -> Loaded {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was loaded before.
    fn replace(&self, loaded: Loaded) -> Loaded {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut current, loaded)
    }
}

/// Follows the database: what was withdrawn there stops counting, what is missing is made, what is due moves on, and
/// what does not open is replaced.
pub(crate) async fn refresh(identity: &Identity, now: OffsetDateTime) -> Result<(), Unexpected> {
    let known = stored(identity, now).await?;
    forget_withdrawn(identity, &known)?;
    let (mut opened, broken) = open_all(identity, &known, now).await?;
    if needs_work(&known, now) || !broken.is_empty() {
        let how = Move::Due { broken };
        let keys = move_on(&identity.pool, &identity.vault, &how, now).await?;
        (opened, _) = open_all(identity, &keys, now).await?;
    }
    if opened.active.is_none() {
        // What is signed with now is better than nothing.
        return Err(Unexpected::bug("no active signing key opens"));
    }
    take_over(identity, opened)
}

/// What the table holds, less what has been retired for long enough.
async fn stored(identity: &Identity, now: OffsetDateTime) -> Result<Vec<StoredKey>, Unexpected> {
    let db = identity.pool.get().await?;
    let (over, known): (Vec<_>, Vec<_>) = store::all(&*db)
        .await?
        .into_iter()
        .partition(|key| key.retired_at.is_some_and(|at| is_over(at, now)));
    for key in over {
        store::remove(&*db, &key.kid).await?;
    }
    Ok(known)
}

fn needs_work(keys: &[StoredKey], now: OffsetDateTime) -> bool {
    let has = |state| keys.iter().any(|key| key.state == state);
    active_is_due(keys, now) || !has(KeyState::Active) || !has(KeyState::Next)
}

pub(crate) fn active_is_due(keys: &[StoredKey], now: OffsetDateTime) -> bool {
    let due = |key: &StoredKey| key.activated_at.is_some_and(|at| is_due(at, now));
    keys.iter()
        .any(|key| key.state == KeyState::Active && due(key))
}

/// Goes on with those of the loaded keys that are still stored, without the vault: a key that was withdrawn must not
/// go on counting because the vault is away.
fn forget_withdrawn(identity: &Identity, stored: &[StoredKey]) -> Result<(), Unexpected> {
    let known = identity.signing.loaded().all;
    // Before anything was ever opened nothing can be said about tokens, not even that they do not count.
    if known.is_empty() {
        return Ok(());
    }
    let mut loaded = Loaded::default();
    for key in stored {
        if let Some(known) = known.iter().find(|known| known.public.kid == key.kid) {
            loaded.add(key.state, Arc::clone(known));
        }
    }
    take_over(identity, loaded)
}

/// The stored keys that open, and the ids of those still in use that do not. The vault is asked only for those not
/// opened before; while it is away there is no telling which do.
async fn open_all(
    identity: &Identity,
    stored: &[StoredKey],
    now: OffsetDateTime,
) -> Result<(Loaded, Vec<Uuid>), Unexpected> {
    let known = identity.signing.loaded().all;
    let (mut loaded, mut broken) = (Loaded::default(), Vec::new());
    for key in stored {
        let opened = match known.iter().find(|known| known.public.kid == key.kid) {
            Some(known) => Ok(Arc::clone(known)),
            None => open(identity, key, now).await.map(Arc::new),
        };
        match opened {
            Ok(opened) => loaded.add(key.state, opened),
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                let (id, state) = (key.key_id, key.state.name());
                tracing::warn!(key.id = %id, state, error = error.chain(), "a signing key does not open");
                if key.state != KeyState::Retired {
                    broken.push(id);
                }
            }
        }
    }
    Ok((loaded, broken))
}

/// Signs, publishes and verifies with these from now on.
fn take_over(identity: &Identity, loaded: Loaded) -> Result<(), Unexpected> {
    let active = kid(&loaded);
    let before = kid(&identity.signing.replace(loaded));
    if before != active {
        tracing::info!(
            before.kid = before,
            kid = active,
            "the signing key is another one"
        );
    }
    match KeySet::from_jwks(&identity.signing.published()) {
        Ok(keys) => identity.verifier.replace_keys(keys),
        // All were withdrawn.
        Err(UnusableSet::Empty) => identity.verifier.forget_keys(),
        Err(error) => return Err(Unexpected::bug("a public key of our own").caused_by(error)),
    }
    Ok(())
}

fn kid(loaded: &Loaded) -> Option<String> {
    loaded.active.as_ref().map(|key| key.public.kid.clone())
}

/// Whether a stored key can be opened, asked of the vault.
pub(crate) async fn opens(
    identity: &Identity,
    stored: &StoredKey,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    open(identity, stored, now).await?;
    Ok(())
}

/// The public key is made from the seed, never read: whoever can write to the table cannot have a key of
/// their own published, because only the vault makes what opens here.
async fn open(
    identity: &Identity,
    stored: &StoredKey,
    now: OffsetDateTime,
) -> Result<SigningKey, Unexpected> {
    let broken = || Unexpected::bug(format!("signing key {} does not open", stored.key_id));
    let asked = identity
        .vault
        .unwrap(key_of(stored.key_id), &stored.wrapped_key, None, now);
    let data_key = asked.await?;
    let place = Column::SigningSeed.of(stored.key_id, stored.key_id);
    let seed = data_key
        .open(&place, &stored.sealed_seed)
        .map_err(|error| broken().caused_by(error))?;
    let pair = pair(&seed)?;
    let der = pair.to_pkcs8v1().map_err(|_| broken())?;
    let public = Jwk::of(&pair);
    if public.kid != stored.kid {
        return Err(broken());
    }
    Ok(SigningKey {
        key: EncodingKey::from_ed_der(der.as_ref()),
        public,
    })
}

pub(crate) fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, Unexpected> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| Unexpected::bug("a signing key's seed has another length"))
}

pub(crate) fn key_of(key_id: Uuid) -> KeyOf {
    KeyOf {
        subject: key_id,
        purpose: PURPOSE,
        generation: GENERATION,
    }
}
