//! A person sees who opened their keys: what the vault has on record, and no service can leave out.

use serde::Deserialize;
use shared::{access_token::Caller, problem::Unexpected, vault_client::VaultClient};
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use crate::{Identity, logout::SessionError, store::sessions};

/// Something that was done with a key of a person, or refused, in the vault's words.
#[derive(Deserialize)]
pub(crate) struct KeyRecord {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    /// `None` for what the vault does by itself.
    pub(crate) caller: Option<String>,
    pub(crate) operation: String,
    pub(crate) purpose: Option<String>,
    pub(crate) outcome: String,
}

/// When to come again to a vault whose answer breaks off.
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

#[derive(Deserialize)]
struct Records {
    records: Vec<KeyRecord>,
}

/// What was done with the caller's keys, the newest first: about 100 records before that moment, and never a part of those
/// of one moment.
pub(crate) async fn list_key_records(
    identity: &Identity,
    caller: &Caller,
    before: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Result<Vec<KeyRecord>, SessionError> {
    let user = caller.user_id();
    let alive = {
        let db = identity.pool.get().await?;
        sessions::is_alive(&*db, caller.session_id(), user, now).await?
    };
    if !alive {
        return Err(SessionError::Ended);
    }
    let mut path = format!("v1/audit?subject={user}");
    if let Some(before) = before {
        // Nothing is on record outside of these, and every moment within has a name in UTC, which has no sign for a query.
        let before = before.clamp(OffsetDateTime::UNIX_EPOCH, now + Duration::DAY);
        let before = before.to_offset(UtcOffset::UTC).format(&Rfc3339);
        let before = before.map_err(|error| Unexpected::bug("a moment").caused_by(error))?;
        path = format!("{path}&before={before}");
    }
    Ok(read(&identity.vault, &path, now).await?)
}

async fn read(
    vault: &VaultClient,
    path: &str,
    now: OffsetDateTime,
) -> Result<Vec<KeyRecord>, Unexpected> {
    let answer = vault.read(path, now).await?;
    let records: Records = answer.json().await.map_err(|error| {
        Unexpected::unavailable("the vault's audit", RETRY).caused_by(error.without_url())
    })?;
    Ok(records.records)
}
