//! The end of a master key that nothing depends on: scheduled, and taken back while there is time. `follow_master_keys`
//! carries it out.

use shared::problem::{Failure, Unexpected};
use time::{Duration, OffsetDateTime};

use crate::{
    Vault,
    check_master_keys::active,
    domain::{
        keyring::KeyVersion,
        policy::{Caller, MasterKeyOperation},
    },
    master_key_request::{Asked, MasterKeyError},
    store::master_keys,
};

/// Schedules the destruction of a version that nothing depends on, or moves one that was scheduled; when it will be.
pub(crate) async fn schedule_destruction(
    vault: &Vault,
    caller: Caller,
    version: KeyVersion,
    wait: Duration,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, MasterKeyError> {
    let destroy_at = now + wait;
    let operation = MasterKeyOperation::ScheduleDestruction;
    set(vault, caller, (operation, version), Some(destroy_at), now).await?;
    tracing::warn!(%version, %destroy_at, "a master key is to be destroyed");
    Ok(destroy_at)
}

/// Takes it back. A version that is not to be destroyed stays as it is.
pub(crate) async fn cancel_destruction(
    vault: &Vault,
    caller: Caller,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<(), MasterKeyError> {
    let operation = MasterKeyOperation::CancelDestruction;
    set(vault, caller, (operation, version), None, now).await?;
    tracing::warn!(%version, "a master key is kept");
    Ok(())
}

async fn set(
    vault: &Vault,
    caller: Caller,
    (operation, version): (MasterKeyOperation, KeyVersion),
    destroy_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<(), MasterKeyError> {
    let asked = Asked::new(vault, caller, operation, version, now).await?;
    let mut db = vault.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    master_keys::lock(&transaction).await?;
    let known = master_keys::known(&transaction).await?;
    let active = active(&known);
    let state = known.iter().find(|known| known.version == version);
    let refused = match state {
        None => Some(MasterKeyError::UnknownVersion),
        Some(known) if known.destroyed_at.is_some() => Some(MasterKeyError::Destroyed),
        Some(known) if destroy_at.is_some() => {
            let is_newer = active.is_none_or(|active| version >= active);
            (known.in_use || is_newer).then_some(MasterKeyError::InUse)
        }
        Some(_) => None,
    };
    if let Some(refused) = refused {
        asked.came_to(refused.case().code).await?;
        return Err(refused);
    }
    master_keys::schedule_destruction(&transaction, version, destroy_at).await?;
    asked.came_to("ok").await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(())
}
