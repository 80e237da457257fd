//! `/v1/subjects`, `/v1/shreds`: shred people, take it back, see what became of it.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, param::Path, types::Example};
use shared::{
    problem::{Problem, Unexpected},
    serve::{DigestedJson, Json},
};
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{
    caller::{Authenticated, Bound},
    data_keys::EXAMPLE_SUBJECT,
};
use crate::{
    Vault, domain,
    read_shred::{ReadShredError, read_shred},
    replay_tombstones::receipt_keys,
    restore_subject::{RestoreError, restore_subject},
    shred_subject::{ShredError, shred_subject},
};

const EXAMPLE_SHRED: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00f1);
const EXAMPLE_REQUESTED: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
const EXAMPLE_PURGE: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);
/// The known answer of `domain::receipt`.
const EXAMPLE_RECEIPT: &str = "eyJ0eXAiOiJzaHJlZC1yZWNlaXB0K2p3dCIsImFsZyI6IkVkRFNBIiwia2lkIjoiejM0ZDVUM01sbTRyRDVQUGQzN0dSTXBIY01O\
    bVVRODFHT09LS2NuTWFHTSJ9.eyJpc3MiOiJ2YXVsdCIsInN1YiI6IjAxOThjMGRlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDA\
    wMSIsImp0aSI6IjAxOThjMGRlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDBmMSIsImlhdCI6MTc5NjEyNjQwMCwicmVxdWVzdGV\
    kX2F0IjoxNzk1NTIxNjAwLCJtZWtfdmVyc2lvbiI6MX0.NyK1MJjO9V8GJDmmNvUr2TKhmUqUmgL1FBg9k-NK_YejsvgW1Ue3hkH\
    FdUDHMRY2KmctPofd4njYI4uAKoz0Cw";

/// How long the shred can be taken back.
#[derive(Object)]
#[oai(example)]
struct ShredSubject {
    /// Seconds until the salt goes: 0 at once, 90 days at most. Left out, it is what the vault is told by `SHRED_WAIT`.
    #[oai(validator(minimum(value = "0"), maximum(value = "7776000")))]
    wait_seconds: Option<u32>,
}

impl Example for ShredSubject {
    fn example() -> Self {
        Self {
            wait_seconds: Some(604_800),
        }
    }
}

/// Nothing more needs to be said.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct RestoreSubject {}

impl Example for RestoreSubject {
    fn example() -> Self {
        Self {}
    }
}

/// How far a shred has come.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum ShredState {
    /// Nothing of the subject opens; until ten seconds before `purge_at` it can be taken back.
    Pending,
    /// The salt is gone.
    Purged,
}

/// The shred of one subject.
#[derive(Object)]
#[oai(example)]
#[expect(
    clippy::struct_field_names,
    reason = "on the wire an id says of what it is"
)]
struct Shred {
    shred_id: Uuid,
    subject: Uuid,
    state: ShredState,
    requested_at: OffsetDateTime,
    /// Until ten seconds before it can be taken back; soon after, the salt goes.
    purge_at: OffsetDateTime,
    /// When the salt went.
    #[oai(skip_serializing_if_is_none)]
    purged_at: Option<OffsetDateTime>,
    /// That the salt went, signed: a compact JWS of type `shred-receipt+jwt`, to be verified with the keys of
    /// `GET /v1/receipt-keys`. It names shred, subject, both times in seconds, and the master key version.
    #[oai(skip_serializing_if_is_none)]
    receipt: Option<String>,
}

impl Example for Shred {
    fn example() -> Self {
        Self {
            shred_id: EXAMPLE_SHRED,
            subject: EXAMPLE_SUBJECT,
            state: ShredState::Purged,
            requested_at: EXAMPLE_REQUESTED,
            purge_at: EXAMPLE_PURGE,
            purged_at: Some(EXAMPLE_PURGE),
            receipt: Some(EXAMPLE_RECEIPT.to_owned()),
        }
    }
}

impl From<domain::shred::Shred> for Shred {
    fn from(shred: domain::shred::Shred) -> Self {
        let (purged_at, receipt) = shred.purged.map(|it| (it.at, it.receipt)).unzip();
        Self {
            shred_id: shred.id,
            subject: shred.subject,
            state: purged_at.map_or(ShredState::Pending, |_| ShredState::Purged),
            requested_at: shred.requested_at,
            purge_at: shred.purge_at,
            purged_at,
            receipt,
        }
    }
}

#[derive(ApiResponse)]
enum Shredding {
    /// The salt is gone.
    #[oai(status = 200)]
    Purged(Json<Shred>),
    /// Nothing of the subject opens from now on; the salt goes at `purge_at`.
    #[oai(status = 202)]
    Pending(Json<Shred>),
}

#[derive(ApiResponse)]
enum Restored {
    /// Everything of the subject opens as before.
    #[oai(status = 204)]
    NoContent,
}

/// One public key that verifies receipts (RFC 7517, RFC 8037).
#[derive(Object)]
struct ReceiptKey {
    kty: String,
    crv: String,
    alg: String,
    #[oai(rename = "use")]
    usage: String,
    /// The 32 bytes of the key, base64url without padding.
    x: String,
    /// Its RFC 7638 thumbprint, which receipts name.
    kid: String,
}

/// The public keys that verify receipts: one per master key version that was ever in use, oldest first.
#[derive(Object)]
#[oai(example)]
struct ReceiptKeys {
    keys: Vec<ReceiptKey>,
}

impl Example for ReceiptKeys {
    fn example() -> Self {
        // The one that verifies the receipt of the other examples.
        let key = ReceiptKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            x: "TcWV8azQfU45C4srbcwLFM8Q9RHvLo-VR-JZTORLsAM".to_owned(),
            kid: "z34d5T3Mlm4rD5PPd37GRMpHcMNmUQ81GOOKKcnMaGM".to_owned(),
        };
        Self { keys: vec![key] }
    }
}

/// The operations; the vault comes with the request.
pub(super) struct ShredsApi;

/// Shreds: the end of everything that was ever sealed for a subject.
#[OpenApi(prefix_path = "/v1")]
impl ShredsApi {
    /// Shred a subject
    ///
    /// For identity alone. From now on no key of the subject is made or opened, for any owner; when the wait is over the
    /// subject's salt is destroyed, and with it, in every backup, whatever was sealed under its keys. A subject that
    /// nobody knows is shredded, too: it never comes to be. Safe to repeat: there is one shred per subject, a shorter
    /// wait brings its end forward and a longer one changes nothing.
    #[oai(
        path = "/subjects/:subject",
        method = "delete",
        operation_id = "shred_subject"
    )]
    async fn shred(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Bound,
        /// The person.
        subject: Path<Uuid>,
        body: DigestedJson<ShredSubject>,
    ) -> Result<Shredding, Problem<ShredError>> {
        let caller = service
            .spend(&vault, body.digest)
            .await
            .map_err(ShredError::from)?;
        let wait = body.value.wait_seconds;
        let wait = wait.map(|seconds| Duration::seconds(i64::from(seconds)));
        let shred = shred_subject(&vault, caller, subject.0, wait, vault.clock.now()).await?;
        let purged = shred.purged.is_some();
        let answer = Json(Shred::from(shred));
        Ok(if purged {
            Shredding::Purged(answer)
        } else {
            Shredding::Pending(answer)
        })
    }

    /// Take a shred back
    ///
    /// For identity alone, until ten seconds before `purge_at`. A subject that is not being shredded stays as it is.
    #[oai(
        path = "/subjects/:subject/restore",
        method = "post",
        operation_id = "restore_subject"
    )]
    async fn restore(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Bound,
        /// The person.
        subject: Path<Uuid>,
        body: DigestedJson<RestoreSubject>,
    ) -> Result<Restored, Problem<RestoreError>> {
        let caller = service
            .spend(&vault, body.digest)
            .await
            .map_err(RestoreError::from)?;
        restore_subject(&vault, caller, subject.0, vault.clock.now()).await?;
        Ok(Restored::NoContent)
    }

    /// Read a shred
    ///
    /// For identity alone. Once the salt is gone, with the receipt.
    #[oai(
        path = "/shreds/:shred_id",
        method = "get",
        operation_id = "read_shred"
    )]
    async fn read(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
        /// From the answer that began it.
        shred_id: Path<Uuid>,
    ) -> Result<Json<Shred>, Problem<ReadShredError>> {
        let shred = read_shred(&vault, service.caller(), shred_id.0).await?;
        Ok(Json(shred.into()))
    }

    /// List the keys that verify receipts
    #[oai(
        path = "/receipt-keys",
        method = "get",
        operation_id = "list_receipt_keys"
    )]
    async fn receipt_keys(
        &self,
        vault: Data<&Arc<Vault>>,
        _service: Authenticated,
    ) -> Result<Json<ReceiptKeys>, Problem<Unexpected>> {
        let keys = receipt_keys(&vault, &*vault.keys.open()?)
            .await?
            .published()
            .keys;
        let keys = keys.into_iter().map(|key| ReceiptKey {
            kty: key.kty,
            crv: key.crv,
            alg: key.alg,
            usage: key.usage,
            x: key.x,
            kid: key.kid,
        });
        Ok(Json(ReceiptKeys {
            keys: keys.collect(),
        }))
    }
}
