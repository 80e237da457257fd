//! What a request tells of the device behind it, kept sealed under the key of the person it acted for.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use shared::{envelope::DataKey, user_id::UserId};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Identity, domain::sealed::Column, person_key};

/// Longer user agents are cut.
const USER_AGENT_CHARS: usize = 256;
/// How long a login waits for the vault before it goes on without noting the device.
const PATIENCE: Duration = Duration::from_millis(500);

/// User agent and network of a request. Personal data: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) user_agent: String,
    pub(crate) network: String,
}

impl Device {
    /// Cuts the user agent and drops its control characters: it will be shown to people.
    pub(crate) fn new(user_agent: &str, network: String) -> Self {
        let shown = user_agent.chars().filter(|char| !char.is_control());
        Self {
            user_agent: shown.take(USER_AGENT_CHARS).collect(),
            network,
        }
    }

    /// What [`Sighting::sealed`] made; `None` when it does not open.
    pub(crate) fn open(
        sealed: &[u8],
        key: &DataKey,
        column: Column,
        user: UserId,
        record: Uuid,
    ) -> Option<Self> {
        let json = key.open(&column.of(user.uuid(), record), sealed).ok();
        let device = json.and_then(|json| serde_json::from_slice(&json).ok());
        if device.is_none() {
            tracing::warn!(user.id = %user, record.id = %record, "a device does not open");
        }
        device
    }
}

/// A device seen acting for a person, ready to be noted.
pub(crate) struct Sighting {
    pub(crate) user: UserId,
    /// `None` while the vault is away: what is noted then has no device.
    seen: Option<(Device, Arc<DataKey>)>,
}

impl Sighting {
    /// Gets the person's key. A vault that is away stops no login and no logout.
    pub(crate) async fn of(
        identity: &Identity,
        user: UserId,
        device: Device,
        now: OffsetDateTime,
    ) -> Self {
        let key = match timeout(PATIENCE, person_key::opened(identity, user, now)).await {
            Ok(Ok(key)) => key,
            Ok(Err(error)) => {
                tracing::warn!(user.id = %user, error = error.chain(), "a device is not noted");
                None
            }
            Err(_) => {
                tracing::warn!(user.id = %user, "a device is not noted: the vault takes too long");
                None
            }
        };
        let seen = key.map(|key| (device, key));
        Self { user, seen }
    }

    /// For what an operator does to an account: no device of the person's acted.
    pub(crate) fn by_an_operator(user: UserId) -> Self {
        Self { user, seen: None }
    }

    /// The device for that column of that row.
    pub(crate) fn sealed(&self, column: Column, record: Uuid) -> Option<Vec<u8>> {
        let (device, key) = self.seen.as_ref()?;
        let json = serde_json::to_vec(device).expect("texts are always JSON");
        let json = Zeroizing::new(json);
        let place = column.of(self.user.uuid(), record);
        Some(key.seal(&place, &json).expect("a device is short"))
    }
}
