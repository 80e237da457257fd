//! The data key that seals what belongs to no account yet: pending sign-ups and waiting mail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{
    envelope::DataKey,
    problem::Unexpected,
    random,
    vault_client::{KeyOf, VaultError},
};
use time::OffsetDateTime;
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
pub(crate) struct OutboxKey(Mutex<Option<ServiceKey>>);

impl OutboxKey {
    fn known(&self) -> MutexGuard<'_, Option<ServiceKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// The service's key, made once for all replicas; one that does not open any more is replaced.
pub(crate) async fn opened(identity: &Identity, now: OffsetDateTime) -> Result<Opened, Unexpected> {
    let known = identity.outbox_key.known().clone();
    let mut stored = match known {
        Some(stored) => stored,
        None => stored(identity, now).await?,
    };
    let opened = match unwrapped(identity, &stored, now).await {
        Err(VaultError::Refused(code)) => {
            stored = replaced(identity, &stored, &code, now).await?;
            unwrapped(identity, &stored, now).await
        }
        opened => opened,
    }?;
    *identity.outbox_key.known() = Some(stored);
    Ok(opened)
}

async fn stored(identity: &Identity, now: OffsetDateTime) -> Result<ServiceKey, Unexpected> {
    let known = service_keys::current(&*identity.pool.get().await?, PURPOSE).await?;
    match known {
        Some(stored) => Ok(stored),
        None => made(identity, None, now).await,
    }
}

/// Looks which one it is: another replica may have replaced the key.
pub(crate) async fn look_again(identity: &Identity) -> Result<(), Unexpected> {
    let current = service_keys::current(&*identity.pool.get().await?, PURPOSE).await?;
    *identity.outbox_key.known() = current;
    Ok(())
}

async fn unwrapped(
    identity: &Identity,
    stored: &ServiceKey,
    now: OffsetDateTime,
) -> Result<Opened, VaultError> {
    let of = key_of(stored.id);
    let key = identity
        .vault
        .unwrap(of, &stored.wrapped, None, now)
        .await?;
    Ok(Opened { id: stored.id, key })
}

/// What waits under the old key is lost: sign-ups and mails of the last hours, which people ask for again. Nobody could
/// ask for any without a key that opens.
async fn replaced(
    identity: &Identity,
    broken: &ServiceKey,
    code: &str,
    now: OffsetDateTime,
) -> Result<ServiceKey, Unexpected> {
    let stored = made(identity, Some(broken), now).await?;
    tracing::error!(
        key.id = %broken.id,
        code,
        new.id = %stored.id,
        "the outbox key does not open and is replaced: what waits under it is lost"
    );
    Ok(stored)
}

/// A new key in the place of `broken`. Of two replicas that make one at once, one is stored and both use that one.
///
/// The vault is asked first: one that does not believe this service, or is away, gives none, and nothing is replaced.
async fn made(
    identity: &Identity,
    broken: Option<&ServiceKey>,
    now: OffsetDateTime,
) -> Result<ServiceKey, Unexpected> {
    let id = random::uuid_v7(now);
    let (wrapped, _) = identity.vault.create(key_of(id), None, now).await?;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    if let Some(broken) = broken {
        service_keys::give_up(&transaction, PURPOSE, broken).await?;
    }
    service_keys::insert_first(&transaction, PURPOSE, &ServiceKey { id, wrapped }, now).await?;
    let stored = service_keys::current(&transaction, PURPOSE).await?;
    transaction.commit().await?;
    stored.ok_or_else(|| Unexpected::bug("the new outbox key is gone"))
}

fn key_of(id: Uuid) -> KeyOf {
    KeyOf {
        subject: id,
        purpose: PURPOSE,
        generation: GENERATION,
    }
}
