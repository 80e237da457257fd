//! `/v1/master-keys`: which wraps, what depends on each, and the end of those that nothing depends on.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use shared::{
    problem::Problem,
    serve::{DigestedJson, Json},
};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::caller::{Authenticated, Bound};
use crate::{
    Vault,
    destroy_master_key::{cancel_destruction, schedule_destruction},
    domain::keyring::KeyVersion,
    list_master_keys::{self, State, current_master_key, list_master_keys},
    master_key_request::MasterKeyError,
    settle_master_key::settle_master_key,
};

/// How far a version of the master key has come.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum MasterKeyState {
    /// Not every replica of the vault has it yet; as soon as all have, it wraps.
    Standby,
    /// It wraps.
    Active,
    /// It opens what it has wrapped.
    Retired,
    /// It is going to be destroyed, unless something depends on it by then.
    DestructionScheduled,
    /// Nothing that it wrapped opens any more.
    Destroyed,
}

impl From<State> for MasterKeyState {
    fn from(state: State) -> Self {
        match state {
            State::Standby => Self::Standby,
            State::Active => Self::Active,
            State::Retired => Self::Retired,
            State::DestructionScheduled => Self::DestructionScheduled,
            State::Destroyed => Self::Destroyed,
        }
    }
}

/// Data keys of one service.
#[derive(Object)]
struct OwnedKeys {
    /// The service.
    owner: String,
    number: u64,
}

/// A version of the master key.
#[derive(Object)]
struct MasterKey {
    version: u32,
    state: MasterKeyState,
    /// The key-check value: 16 hexadecimal digits that tell keys apart and reveal neither.
    kcv: String,
    #[oai(skip_serializing_if_is_none)]
    activated_at: Option<OffsetDateTime>,
    #[oai(skip_serializing_if_is_none)]
    destroy_at: Option<OffsetDateTime>,
    #[oai(skip_serializing_if_is_none)]
    destroyed_at: Option<OffsetDateTime>,
    /// Salts of people that are sealed under it. The vault seals them anew by itself.
    slots: u64,
    /// Data keys that their owners keep wrapped under it.
    data_keys: Vec<OwnedKeys>,
}

impl From<list_master_keys::MasterKey> for MasterKey {
    fn from(key: list_master_keys::MasterKey) -> Self {
        let owned = key.data_keys.into_iter();
        Self {
            version: key.version.number(),
            state: key.state.into(),
            kcv: hex::encode(key.kcv.0),
            activated_at: key.activated_at,
            destroy_at: key.destroy_at,
            destroyed_at: key.destroyed_at,
            slots: key.slots,
            data_keys: owned
                .map(|(owner, number)| OwnedKeys { owner, number })
                .collect(),
        }
    }
}

/// Every version there ever was, oldest first.
#[derive(Object)]
#[oai(example)]
struct MasterKeys {
    master_keys: Vec<MasterKey>,
}

impl Example for MasterKeys {
    fn example() -> Self {
        let key = MasterKey {
            version: 2,
            state: MasterKeyState::Active,
            kcv: "8027fc57b6904154".to_owned(),
            activated_at: Some(datetime!(2026-11-24 12:00 UTC)),
            destroy_at: None,
            destroyed_at: None,
            slots: 1_204,
            data_keys: vec![OwnedKeys {
                owner: "journal".to_owned(),
                number: 873,
            }],
        };
        Self {
            master_keys: vec![key],
        }
    }
}

/// The version that wraps.
#[derive(Object)]
#[oai(example)]
struct CurrentMasterKey {
    version: u32,
    /// Whether data keys of the calling service depend on older versions.
    behind: bool,
    /// When this was so, by the clock of the vault.
    as_of: OffsetDateTime,
}

impl Example for CurrentMasterKey {
    fn example() -> Self {
        Self {
            version: 2,
            behind: true,
            as_of: datetime!(2026-11-24 12:00 UTC),
        }
    }
}

/// Since when the service has looked through its keys.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct Settle {
    /// What `current` said before the service began to look. Keys that were made later, or within the two minutes before,
    /// are not settled by this.
    as_of: OffsetDateTime,
}

impl Example for Settle {
    fn example() -> Self {
        Self {
            as_of: datetime!(2026-11-24 12:00 UTC),
        }
    }
}

/// How long the destruction can be taken back.
#[derive(Object)]
#[oai(example)]
struct ScheduleDestruction {
    #[oai(validator(minimum(value = "7"), maximum(value = "30")))]
    wait_days: u32,
}

impl Example for ScheduleDestruction {
    fn example() -> Self {
        Self { wait_days: 7 }
    }
}

/// When the version will be gone.
#[derive(Object)]
#[oai(example)]
struct DestructionScheduled {
    destroy_at: OffsetDateTime,
}

impl Example for DestructionScheduled {
    fn example() -> Self {
        Self {
            destroy_at: datetime!(2026-12-01 12:00 UTC),
        }
    }
}

/// Nothing more needs to be said.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct NothingMore {}

impl Example for NothingMore {
    fn example() -> Self {
        Self {}
    }
}

/// The operations; the vault comes with the request.
pub(super) struct MasterKeysApi;

/// Master keys.
#[OpenApi(prefix_path = "/v1/master-keys")]
impl MasterKeysApi {
    /// List the master keys
    ///
    /// For the operator: every version there ever was, and how much depends on it. Counts everything, which takes a moment
    /// with many people.
    #[oai(path = "/", method = "get", operation_id = "list_master_keys")]
    async fn list(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
    ) -> Result<Json<MasterKeys>, Problem<MasterKeyError>> {
        let keys = list_master_keys(&vault, service.caller()).await?;
        Ok(Json(MasterKeys {
            master_keys: keys.into_iter().map(MasterKey::from).collect(),
        }))
    }

    /// Read which master key wraps
    ///
    /// For every service: whether it has data keys to be wrapped anew.
    #[oai(
        path = "/current",
        method = "get",
        operation_id = "read_current_master_key"
    )]
    async fn current(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
    ) -> Result<Json<CurrentMasterKey>, Problem<MasterKeyError>> {
        let as_of = vault.clock.now();
        let (version, behind) = current_master_key(&vault, service.caller().service).await?;
        Ok(Json(CurrentMasterKey {
            version: version.number(),
            behind,
            as_of,
        }))
    }

    /// Say that nothing is left under older master keys
    ///
    /// For identity and the journal, when every key that they keep is under this version: from then on theirs hold no older
    /// one back, but for those that were made after it had begun to look. A key that is shown under an older version later is
    /// counted there again.
    #[oai(
        path = "/:version/settle",
        method = "post",
        operation_id = "settle_master_key"
    )]
    async fn settle(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Bound,
        /// The version that wraps.
        #[oai(validator(minimum(value = "0"), maximum(value = "4294967295")))]
        version: Path<u32>,
        body: DigestedJson<Settle>,
    ) -> Result<Json<NothingMore>, Problem<MasterKeyError>> {
        let caller = service.spend(&vault, body.digest).await;
        let caller = caller.map_err(MasterKeyError::from)?;
        let looked = (known(*version)?, body.value.as_of);
        settle_master_key(&vault, caller, looked, vault.clock.now()).await?;
        Ok(Json(NothingMore {}))
    }

    /// Schedule the destruction of a master key
    ///
    /// For the operator. Refused as long as anything depends on the version, which is looked at again before it goes.
    /// Nothing that it wrapped opens afterwards, in backups neither: wait for as long as you keep those. Asking again moves
    /// the time.
    #[oai(
        path = "/:version/schedule-destruction",
        method = "post",
        operation_id = "schedule_master_key_destruction"
    )]
    async fn schedule_destruction(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Bound,
        /// The version.
        #[oai(validator(minimum(value = "0"), maximum(value = "4294967295")))]
        version: Path<u32>,
        body: DigestedJson<ScheduleDestruction>,
    ) -> Result<Json<DestructionScheduled>, Problem<MasterKeyError>> {
        let caller = service.spend(&vault, body.digest).await;
        let caller = caller.map_err(MasterKeyError::from)?;
        let wait = Duration::days(i64::from(body.value.wait_days));
        let (version, now) = (known(*version)?, vault.clock.now());
        let destroy_at = schedule_destruction(&vault, caller, version, wait, now).await?;
        Ok(Json(DestructionScheduled { destroy_at }))
    }

    /// Keep a master key that was to be destroyed
    ///
    /// For the operator. A version that was not to be destroyed stays as it is.
    #[oai(
        path = "/:version/cancel",
        method = "post",
        operation_id = "cancel_master_key_destruction"
    )]
    async fn cancel(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Bound,
        /// The version.
        #[oai(validator(minimum(value = "0"), maximum(value = "4294967295")))]
        version: Path<u32>,
        body: DigestedJson<NothingMore>,
    ) -> Result<Json<NothingMore>, Problem<MasterKeyError>> {
        let caller = service.spend(&vault, body.digest).await;
        let caller = caller.map_err(MasterKeyError::from)?;
        cancel_destruction(&vault, caller, known(*version)?, vault.clock.now()).await?;
        Ok(Json(NothingMore {}))
    }
}

/// There is no version 0.
fn known(version: u32) -> Result<KeyVersion, MasterKeyError> {
    KeyVersion::new(version).ok_or(MasterKeyError::UnknownVersion)
}
