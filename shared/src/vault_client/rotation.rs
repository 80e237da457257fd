//! What a service asks the vault so that its keys follow the master key: which one wraps, the same keys under it, and that
//! nothing is left under older ones.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AUDIENCE, UnwrapItem, VaultClient, VaultError, WrappedKey, away, refusal, traced};

/// Which master key wraps, as the vault says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct CurrentMasterKey {
    /// Its version.
    pub version: u32,
    /// Whether keys of this service depend on older versions.
    pub behind: bool,
    /// When that was so, by the clock of the vault.
    #[serde(with = "time::serde::rfc3339")]
    pub as_of: OffsetDateTime,
}

impl WrappedKey {
    /// The version of the master key that it depends on, as its header says; `None` for what is no wrapped key.
    pub fn mek_version(&self) -> Option<u32> {
        let version = self.bytes().get(4..8)?;
        Some(u32::from_be_bytes(version.try_into().ok()?))
    }

    /// The id of the key in it, as its header says.
    pub(crate) fn dek_id(&self) -> Option<&[u8]> {
        self.bytes().get(8..24)
    }
}

impl VaultClient {
    /// Which master key wraps, and whether this service has keys to be wrapped anew.
    pub async fn current_master_key(
        &self,
        now: OffsetDateTime,
    ) -> Result<CurrentMasterKey, VaultError> {
        let answer = self.read("v1/master-keys/current", now).await?;
        answer.json().await.map_err(away)
    }

    /// Whatever the vault shows at a path.
    pub async fn read(&self, path: &str, now: OffsetDateTime) -> Result<Response, VaultError> {
        let request = self.http.get(self.at(path));
        let request = request.bearer_auth(self.signer.token(AUDIENCE, now));
        // Without the address: a query names people.
        let sent = traced(request).send().await;
        let response = sent.map_err(|error| away(error.without_url()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    /// The same keys under the master key that wraps now, in the same order, or for each why not: the vault's stable code.
    /// Those that are under it already come back as they are. At most a hundred.
    pub async fn rewrap(
        &self,
        purpose: &'static str,
        keys: &[(Uuid, WrappedKey)],
        now: OffsetDateTime,
    ) -> Result<Vec<Result<WrappedKey, String>>, VaultError> {
        let items = keys.iter().map(|(subject, wrapped)| UnwrapItem {
            subject: *subject,
            purpose,
            wrapped_key: BASE64_URL_SAFE_NO_PAD.encode(wrapped.bytes()),
        });
        let body = RewrapBody {
            items: items.collect(),
        };
        let answer: Rewrapped = self.ask("v1/data-keys/rewrap", &body, None, now).await?;
        if answer.items.len() != keys.len() {
            return Err(away("an answer with another number of keys"));
        }
        answer.items.into_iter().map(RewrappedItem::read).collect()
    }

    /// Says that this service has looked through all of its keys since it was told this, and that none is left under an
    /// older master key.
    pub async fn settle_master_key(
        &self,
        told: CurrentMasterKey,
        now: OffsetDateTime,
    ) -> Result<(), VaultError> {
        let CurrentMasterKey { version, as_of, .. } = told;
        let path = format!("v1/master-keys/{version}/settle");
        self.command(Method::POST, &path, &Settle { as_of }, now)
            .await?;
        Ok(())
    }
}

#[derive(Serialize)]
struct Settle {
    #[serde(with = "time::serde::rfc3339")]
    as_of: OffsetDateTime,
}

#[derive(Serialize)]
struct RewrapBody {
    items: Vec<UnwrapItem>,
}

#[derive(Deserialize)]
struct Rewrapped {
    items: Vec<RewrappedItem>,
}

#[derive(Deserialize)]
struct RewrappedItem {
    status: String,
    wrapped_key: Option<String>,
}

impl RewrappedItem {
    fn read(self) -> Result<Result<WrappedKey, String>, VaultError> {
        if self.status != "ok" {
            return Ok(Err(self.status));
        }
        let encoded = self.wrapped_key.unwrap_or_default();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(away)?;
        Ok(Ok(WrappedKey(bytes)))
    }
}
