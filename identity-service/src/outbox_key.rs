//! The data key that seals what belongs to no account yet: pending sign-ups and waiting mail.

use std::sync::Arc;

use shared::{envelope::DataKey, problem::Unexpected, random, vault_client::KeyOf};
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{
    Identity,
    store::service_keys::{self, ServiceKey},
};

/// As the vault's policy names it.
const PURPOSE: &str = "outbox";
const GENERATION: u32 = 1;

/// Remembers which stored key it is; the key itself is the vault client's to remember and forget.
#[derive(Default)]
pub(crate) struct OutboxKey(OnceCell<ServiceKey>);

/// The key in the clear, and the id that rows name it by.
pub(crate) struct Opened {
    pub(crate) id: Uuid,
    pub(crate) key: Arc<DataKey>,
}

/// The service's key, made once for all replicas.
pub(crate) async fn opened(identity: &Identity, now: OffsetDateTime) -> Result<Opened, Unexpected> {
    let stored = identity
        .outbox_key
        .0
        .get_or_try_init(|| stored(identity, now))
        .await?;
    let key = identity
        .vault
        .unwrap(key_of(stored.id), &stored.wrapped, None, now)
        .await?;
    Ok(Opened { id: stored.id, key })
}

/// Of two replicas that make the first key at once, one is stored and both use that one.
async fn stored(identity: &Identity, now: OffsetDateTime) -> Result<ServiceKey, Unexpected> {
    let known = service_keys::current(&*identity.pool.get().await?, PURPOSE).await?;
    if let Some(key) = known {
        return Ok(key);
    }
    let id = random::uuid_v7(now);
    let (wrapped, _) = identity.vault.create(key_of(id), None, now).await?;
    let db = identity.pool.get().await?;
    service_keys::insert_first(&*db, PURPOSE, &ServiceKey { id, wrapped }, now).await?;
    let stored = service_keys::current(&*db, PURPOSE).await?;
    stored.ok_or_else(|| Unexpected::bug("the new outbox key is gone"))
}

fn key_of(id: Uuid) -> KeyOf {
    KeyOf {
        subject: id,
        purpose: PURPOSE,
        generation: GENERATION,
    }
}
