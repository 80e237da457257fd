//! The end of a person's key, as the vault does it for identity.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use shared::{
    problem::Unexpected,
    user_id::UserId,
    vault_client::{VaultClient, VaultError},
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What the vault says of a shred.
#[derive(Deserialize)]
pub(crate) struct Shred {
    pub(crate) shred_id: Uuid,
    /// Once the key is gone.
    pub(crate) receipt: Option<String>,
}

#[derive(Serialize)]
struct ShredBody {
    wait_seconds: u32,
}

#[derive(Serialize)]
struct RestoreBody {}

/// Nothing of the person opens from now on, and after `wait` never again. Safe to repeat: a shorter wait brings the end
/// forward.
pub(crate) async fn shred(
    vault: &VaultClient,
    user: UserId,
    wait: Duration,
    now: OffsetDateTime,
) -> Result<Shred, Unexpected> {
    let body = ShredBody {
        wait_seconds: u32::try_from(wait.whole_seconds().max(0)).unwrap_or(u32::MAX),
    };
    let path = format!("v1/subjects/{user}");
    let answer = vault.command(Method::DELETE, &path, &body, now).await?;
    let shred = answer.json().await.map_err(|error| {
        Unexpected::bug("the vault's answer to a shred").caused_by(error.without_url())
    })?;
    Ok(shred)
}

/// Everything of the person opens again; `false` when the key is gone.
pub(crate) async fn restore(
    vault: &VaultClient,
    user: UserId,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let path = format!("v1/subjects/{user}/restore");
    match vault
        .command(Method::POST, &path, &RestoreBody {}, now)
        .await
    {
        Ok(_) => Ok(true),
        Err(VaultError::Refused(code)) if code == "shredded" => Ok(false),
        Err(error) => Err(error.into()),
    }
}
