//! An owner says that it keeps nothing under an older master key any more.
//!
//! Not the rewrap counts, but this: a key that was wrapped anew and not stored would be lost with the old master key. What
//! an owner shows under an older one all the same is counted there again. Looking through all of them takes an owner a while, so
//! it says when it began: what it stored since may lie where it had looked already.

use time::{Duration, OffsetDateTime};

use crate::{
    Vault,
    domain::{
        keyring::KeyVersion,
        policy::{Caller, MasterKeyOperation},
    },
    master_key_request::{Asked, MasterKeyError},
    store::data_keys,
};

/// A key that was made a moment ago may not be stored yet, and so not be seen by its owner: requests last a minute at most.
const UNDERWAY: Duration = Duration::minutes(2);

/// From now on the keys of the caller count under `version`, but for those that were made after it began to look, or just
/// before that.
pub(crate) async fn settle_master_key(
    vault: &Vault,
    caller: Caller,
    (version, as_of): (KeyVersion, OffsetDateTime),
    now: OffsetDateTime,
) -> Result<(), MasterKeyError> {
    let asked = Asked::new(vault, caller, MasterKeyOperation::Settle, version, now).await?;
    if vault.keys.open()?.current() != version {
        return Err(MasterKeyError::NotCurrent);
    }
    let db = vault.pool.get_for_long().await?;
    let made_before = as_of.min(now) - UNDERWAY;
    while data_keys::settle_some(&*db, caller.service, version, made_before).await? > 0 {}
    asked.came_to("ok").await?;
    Ok(())
}
