//! The keys that sign access tokens: made here, sealed under the vault, loaded and rotated behind the
//! requests.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::EncodingKey;
use shared::{
    access_token::KeySet,
    jwk::{Jwk, JwkSet},
    problem::Unexpected,
    random,
    vault_client::KeyOf,
};
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Identity,
    domain::{
        sealed::Column,
        signing_key::{KeyState, forgotten_before, is_due},
    },
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
}

/// Makes missing keys, moves due ones, replaces those that do not open, and takes over what opens then.
pub(crate) async fn refresh(identity: &Identity, now: OffsetDateTime) -> Result<(), Unexpected> {
    let known = {
        let db = identity.pool.get().await?;
        store::discard_retired(&*db, forgotten_before(now)).await?;
        store::all(&*db).await?
    };
    let (mut opened, broken) = open_all(identity, &known, now).await?;
    if needs_work(&known, now) || !broken.is_empty() {
        let keys = rotate(identity, &broken, now).await?;
        (opened, _) = open_all(identity, &keys, now).await?;
    }
    take_over(identity, opened)
}

fn needs_work(keys: &[StoredKey], now: OffsetDateTime) -> bool {
    let has = |state| keys.iter().any(|key| key.state == state);
    let due = active(keys).is_some_and(|key| key.activated_at.is_some_and(|at| is_due(at, now)));
    due || !has(KeyState::Active) || !has(KeyState::Next)
}

fn active(keys: &[StoredKey]) -> Option<&StoredKey> {
    keys.iter().find(|key| key.state == KeyState::Active)
}

/// The vault is asked before the lock is taken; a key that turns out to be one too many is forgotten. It never
/// hurts to sign with another key, so one that does not open retires at once, and the next takes its place.
async fn rotate(
    identity: &Identity,
    broken: &[Uuid],
    now: OffsetDateTime,
) -> Result<Vec<StoredKey>, Unexpected> {
    let candidates = [
        generate(identity, now).await?,
        generate(identity, now).await?,
    ];
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    store::lock(&transaction).await?;
    store::retire(&transaction, broken, now).await?;
    let known = store::all(&transaction).await?;
    let waits = known.iter().any(|key| key.state == KeyState::Next);
    if waits && active(&known).is_none_or(|key| key.activated_at.is_some_and(|at| is_due(at, now)))
    {
        store::promote_next(&transaction, now).await?;
        tracing::info!("signing keys rotated");
    }
    fill_up(&transaction, candidates, now).await?;
    let keys = store::all(&transaction).await?;
    transaction.commit().await?;
    Ok(keys)
}

/// One key signs and one waits, always.
async fn fill_up(
    db: &impl GenericClient,
    candidates: [StoredKey; 2],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let [first, second] = candidates;
    let known = store::all(db).await?;
    let has = |state| known.iter().any(|key| key.state == state);
    if !has(KeyState::Active) {
        let key = StoredKey {
            state: KeyState::Active,
            activated_at: Some(now),
            ..first
        };
        store::insert(db, &key, now).await?;
    }
    if !has(KeyState::Next) {
        store::insert(db, &second, now).await?;
    }
    Ok(())
}

/// A new key, sealed under a data key of its own.
async fn generate(identity: &Identity, now: OffsetDateTime) -> Result<StoredKey, Unexpected> {
    let key_id = random::uuid_v7(now);
    let (wrapped_key, data_key) = identity.vault.create(key_of(key_id), None, now).await?;
    let mut seed = Zeroizing::new([0; 32]);
    random::fill(seed.as_mut_slice());
    let pair = pair(seed.as_slice())?;
    let place = Column::SigningSeed.of(key_id, key_id);
    Ok(StoredKey {
        kid: Jwk::of(&pair).kid,
        key_id,
        state: KeyState::Next,
        sealed_seed: data_key
            .seal(&place, seed.as_slice())
            .expect("32 bytes fit"),
        wrapped_key,
        activated_at: None,
    })
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
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.is_unavailable() => return Err(error),
            Err(error) => {
                let (id, state) = (key.key_id, key.state.name());
                tracing::warn!(key.id = %id, state, error = error.chain(), "a signing key does not open");
                if key.state != KeyState::Retired {
                    broken.push(id);
                }
                continue;
            }
        };
        if key.state == KeyState::Active {
            loaded.active = Some(Arc::clone(&opened));
        }
        loaded.all.push(opened);
    }
    Ok((loaded, broken))
}

fn take_over(identity: &Identity, loaded: Loaded) -> Result<(), Unexpected> {
    if loaded.active.is_none() {
        // What is signed with now is better than nothing.
        return Err(Unexpected::bug("no active signing key opens"));
    }
    *identity
        .signing
        .0
        .write()
        .unwrap_or_else(PoisonError::into_inner) = loaded;
    let verifying = KeySet::from_jwks(&identity.signing.published())
        .map_err(|error| Unexpected::bug("a public key of our own").caused_by(error))?;
    identity.verifier.replace_keys(verifying);
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

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, Unexpected> {
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| Unexpected::bug("a signing key's seed has another length"))
}

fn key_of(key_id: Uuid) -> KeyOf {
    KeyOf {
        subject: key_id,
        purpose: PURPOSE,
        generation: GENERATION,
    }
}
