//! The versions of the master key, and what depends on each.

use time::OffsetDateTime;

use crate::{
    Vault,
    check_master_keys::active,
    domain::{
        keyring::{KeyCheckValue, KeyVersion},
        policy::{Caller, MasterKeyOperation, Service, allow_master_keys},
    },
    master_key_request::MasterKeyError,
    store::master_keys::{self, KnownVersion, Uses},
};

/// How far a version has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not every replica has it yet.
    Standby,
    /// It wraps.
    Active,
    /// It opens what it wrapped before.
    Retired,
    /// Nothing depends on it, and it is going to be destroyed.
    DestructionScheduled,
    Destroyed,
}

/// A version of the master key.
pub(crate) struct MasterKey {
    pub(crate) version: KeyVersion,
    pub(crate) kcv: KeyCheckValue,
    pub(crate) state: State,
    pub(crate) activated_at: Option<OffsetDateTime>,
    pub(crate) destroy_at: Option<OffsetDateTime>,
    pub(crate) destroyed_at: Option<OffsetDateTime>,
    pub(crate) slots: u64,
    pub(crate) data_keys: Vec<(String, u64)>,
}

/// Every version there ever was, oldest first.
pub(crate) async fn list_master_keys(
    vault: &Vault,
    caller: Caller,
) -> Result<Vec<MasterKey>, MasterKeyError> {
    allow_master_keys(caller.service, MasterKeyOperation::Read)?;
    let db = vault.pool.get_for_long().await?;
    let known = master_keys::known(&*db).await?;
    let mut uses = master_keys::uses(&*db).await?;
    let active = active(&known);
    Ok(known
        .iter()
        .map(|known| described(known, active, &mut uses))
        .collect())
}

fn described(known: &KnownVersion, active: Option<KeyVersion>, uses: &mut Vec<Uses>) -> MasterKey {
    let state = match known {
        known if known.destroyed_at.is_some() => State::Destroyed,
        known if known.destroy_at.is_some() => State::DestructionScheduled,
        known if active == Some(known.version) => State::Active,
        known if known.activated_at.is_none() && active < Some(known.version) => State::Standby,
        _ => State::Retired,
    };
    let at = uses.iter().position(|uses| uses.version == known.version);
    let uses = at.map(|at| uses.swap_remove(at));
    let (slots, data_keys) = uses.map_or((0, Vec::new()), |it| (it.slots, it.data_keys));
    MasterKey {
        version: known.version,
        kcv: known.kcv,
        state,
        activated_at: known.activated_at,
        destroy_at: known.destroy_at,
        destroyed_at: known.destroyed_at,
        slots,
        data_keys,
    }
}

/// Which version wraps for this replica, and whether keys of that service depend on older ones.
pub(crate) async fn current_master_key(
    vault: &Vault,
    owner: Service,
) -> Result<(KeyVersion, bool), MasterKeyError> {
    let current = vault.keys.open()?.current();
    let db = vault.pool.get().await?;
    Ok((current, master_keys::is_behind(&*db, owner, current).await?))
}
