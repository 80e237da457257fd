//! The keys that sign access tokens change: by age, or because an operator says so.

use shared::{jwk::Jwk, postgres::Pool, problem::Unexpected, random, vault_client::VaultClient};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::{sealed::Column, signing_key::KeyState},
    signing_keys::{active_is_due, key_of, pair},
    store::signing_keys::{self as store, StoredKey},
};

/// What is done to the keys before they are made complete again.
pub(crate) enum Move {
    /// The next key takes over if the active one has signed for its whole period, or is among those that do not open:
    /// it never hurts to sign with another key.
    Due { broken: Vec<Uuid> },
    /// The next key takes over now; the one before stays published until its last token is over.
    Early,
    /// This key is withdrawn: none of its tokens counts any more.
    Withdraw(String),
    /// All keys are withdrawn, and new ones take over that nobody has seen before.
    WithdrawAll,
}

/// Why the keys were not moved.
#[derive(Debug, Error)]
pub(crate) enum MoveError {
    #[error("no signing key has this kid")]
    UnknownKey,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl From<MoveError> for Unexpected {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::UnknownKey => Self::bug(error.to_string()),
            MoveError::Unexpected(unexpected) => unexpected,
        }
    }
}

/// Moves the keys and makes those that are missing then, as one change for all replicas. They follow within
/// seconds. `UnknownKey` when the key to withdraw is not there; nothing is changed then.
///
/// The vault is asked before the lock is taken; a key that turns out to be one too many is forgotten.
pub(crate) async fn move_on(
    pool: &Pool,
    vault: &VaultClient,
    how: &Move,
    now: OffsetDateTime,
) -> Result<Vec<StoredKey>, MoveError> {
    let candidates = [generate(vault, now).await?, generate(vault, now).await?];
    let mut db = pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    store::lock(&transaction).await?;
    if let Move::Due { broken } = how {
        store::retire(&transaction, broken, now).await?;
    }
    let known = store::all(&transaction).await?;
    let has = |state| known.iter().any(|key| key.state == state);
    match how {
        Move::Due { .. } if !has(KeyState::Active) || active_is_due(&known, now) => {
            store::promote_next(&transaction, now).await?;
        }
        Move::Due { .. } => {}
        Move::Early => store::promote_next(&transaction, now).await?,
        Move::Withdraw(kid) => withdraw(&transaction, &known, kid, now).await?,
        Move::WithdrawAll => {
            for key in &known {
                store::remove(&transaction, &key.kid).await?;
            }
        }
    }
    fill_up(&transaction, candidates, now).await?;
    let keys = store::all(&transaction).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(keys)
}

/// The key that is published already takes the place of a withdrawn active one.
async fn withdraw(
    db: &impl GenericClient,
    known: &[StoredKey],
    kid: &str,
    now: OffsetDateTime,
) -> Result<(), MoveError> {
    let key = known.iter().find(|key| key.kid == kid);
    let key = key.ok_or(MoveError::UnknownKey)?;
    store::remove(db, kid).await?;
    if key.state == KeyState::Active {
        store::promote_next(db, now).await?;
    }
    Ok(())
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
        store::insert(db, &key).await?;
    }
    if !has(KeyState::Next) {
        store::insert(db, &second).await?;
    }
    Ok(())
}

/// A new key, sealed under a data key of its own.
async fn generate(vault: &VaultClient, now: OffsetDateTime) -> Result<StoredKey, Unexpected> {
    let key_id = random::uuid_v7(now);
    let (wrapped_key, data_key) = vault.create(key_of(key_id), None, now).await?;
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
        created_at: now,
        activated_at: None,
        retired_at: None,
    })
}
