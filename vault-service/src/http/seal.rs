//! `/v1/seal`, `/v1/unseal`, `/v1/seal-status`: wipe the master keys, and bring them back.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, types::Example};
use secrecy::SecretString;
use shared::{
    problem::Problem,
    serve::{DigestedJson, Json},
};

use super::caller::{BoundWhileSealed, WhileSealed};
use crate::{
    Vault,
    domain::sealed_keyring,
    unseal_error::UnsealError,
    unseal_vault::{self, Secret, seal_status, seal_vault, unseal_vault},
};

/// What opens the vault.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum Opener {
    /// A file with the master keys in it, at every start and when it is asked to.
    KeyFile,
    /// A variable, at every start alone.
    KeyVariable,
    /// A passphrase.
    Passphrase,
    /// Some of several shares.
    Shares,
    /// A file that cannot be read at this moment.
    Unreadable,
}

/// Whether the vault is open.
#[derive(Object)]
#[oai(example)]
struct SealStatus {
    /// Sealed, it answers 503 `sealed` to everything about keys.
    sealed: bool,
    opener: Opener,
    /// How many shares open it.
    #[oai(skip_serializing_if_is_none)]
    shares_needed: Option<u8>,
    /// How many of them have been brought.
    #[oai(skip_serializing_if_is_none)]
    shares_given: Option<usize>,
}

impl Example for SealStatus {
    fn example() -> Self {
        Self {
            sealed: true,
            opener: Opener::Shares,
            shares_needed: Some(3),
            shares_given: Some(1),
        }
    }
}

impl SealStatus {
    fn of(vault: &Vault, status: &unseal_vault::SealStatus) -> Self {
        use crate::key_source::KeySource;
        let (opener, needed) = match (&vault.key_source, &status.opener) {
            (KeySource::File(_), _) => (Opener::KeyFile, None),
            (KeySource::Variable, _) => (Opener::KeyVariable, None),
            (_, Some(sealed_keyring::Opener::Passphrase { .. })) => (Opener::Passphrase, None),
            (_, Some(sealed_keyring::Opener::Shares(set))) => (Opener::Shares, Some(set.needed())),
            (_, None) => (Opener::Unreadable, None),
        };
        Self {
            sealed: status.sealed,
            opener,
            shares_needed: needed,
            shares_given: needed.map(|_| status.shares_given),
        }
    }
}

/// A passphrase, or one share, or, where the keys lie open in a file, neither.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct Unseal {
    #[oai(validator(max_length = 1024))]
    passphrase: Option<String>,
    /// As `vault-service shares create` printed it.
    #[oai(validator(max_length = 200))]
    share: Option<String>,
}

impl Example for Unseal {
    fn example() -> Self {
        Self {
            passphrase: Some("a passphrase of at least twenty bytes".to_owned()),
            share: None,
        }
    }
}

/// Nothing more needs to be said.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct Seal {}

impl Example for Seal {
    fn example() -> Self {
        Self {}
    }
}

/// The operations; the vault comes with the request.
pub(super) struct SealApi;

/// Sealing.
#[OpenApi(prefix_path = "/v1")]
impl SealApi {
    /// Read whether the vault is sealed
    ///
    /// For every service. This is about the one replica that answers.
    #[oai(
        path = "/seal-status",
        method = "get",
        operation_id = "read_seal_status"
    )]
    async fn status(
        &self,
        vault: Data<&Arc<Vault>>,
        _service: WhileSealed,
    ) -> Result<Json<SealStatus>, Problem<shared::problem::Unexpected>> {
        let status = seal_status(&vault).await;
        Ok(Json(SealStatus::of(&vault, &status)))
    }

    /// Open the vault
    ///
    /// For the operator: brings the passphrase, or one share after another. Five wrong ones in a row are free, then each
    /// makes everybody wait, from a minute to an hour. An open vault reads its keyring again, so that one with a newer
    /// master key in it can take its place. This is about the one replica that answers.
    #[oai(path = "/unseal", method = "post", operation_id = "unseal")]
    async fn unseal(
        &self,
        vault: Data<&Arc<Vault>>,
        service: BoundWhileSealed,
        body: DigestedJson<Unseal>,
    ) -> Result<Json<SealStatus>, Problem<UnsealError>> {
        let caller = service.spend(&vault, body.digest).await;
        let caller = caller.map_err(UnsealError::from)?;
        let Unseal { passphrase, share } = body.value;
        let secret = match (passphrase, share) {
            (None, None) => Secret::None,
            (Some(passphrase), None) => Secret::Passphrase(SecretString::from(passphrase)),
            (None, Some(share)) => Secret::Share(SecretString::from(share)),
            (Some(_), Some(_)) => return Err(UnsealError::OtherOpener.into()),
        };
        let status = unseal_vault(&vault, caller, secret, vault.clock.now()).await?;
        Ok(Json(SealStatus::of(&vault, &status)))
    }

    /// Seal the vault
    ///
    /// For the operator, when something is wrong: wipes the master keys of the one replica that answers. From then on nothing
    /// opens until somebody opens the vault; requests that are under way fail, and what they have of the keys goes with
    /// them.
    #[oai(path = "/seal", method = "post", operation_id = "seal")]
    async fn seal(
        &self,
        vault: Data<&Arc<Vault>>,
        service: BoundWhileSealed,
        body: DigestedJson<Seal>,
    ) -> Result<Json<SealStatus>, Problem<UnsealError>> {
        let caller = service.spend(&vault, body.digest).await;
        let caller = caller.map_err(UnsealError::from)?;
        let status = seal_vault(&vault, caller, vault.clock.now()).await?;
        Ok(Json(SealStatus::of(&vault, &status)))
    }
}
