//! The data key that seals what belongs to no account yet: pending sign-ups and waiting mail.

use std::sync::Arc;

use shared::{envelope::DataKey, problem::Unexpected, random, vault_client::KeyOf};
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Identity,
    domain::sealed::Column,
    store::{
        outbox::Sealed,
        service_keys::{self, ServiceKey},
    },
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

impl Opened {
    /// Seals what a message holds.
    ///
    /// # Panics
    /// When `content` is longer than a record may be: callers seal addresses and the like.
    pub(crate) fn seal(&self, column: Column, message_id: Uuid, content: &[u8]) -> Sealed {
        let sealed = self.key.seal(&column.of(self.id, message_id), content);
        Sealed {
            bytes: sealed.expect("a message is short"),
            service_key_id: self.id,
        }
    }

    /// What [`Opened::seal`] sealed; `None` when the row was changed.
    pub(crate) fn open(
        &self,
        column: Column,
        message_id: Uuid,
        sealed: &Sealed,
    ) -> Option<Zeroizing<Vec<u8>>> {
        if sealed.service_key_id != self.id {
            return None;
        }
        let place = column.of(self.id, message_id);
        self.key.open(&place, &sealed.bytes).ok()
    }
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
