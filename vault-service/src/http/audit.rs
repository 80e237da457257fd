//! `/v1/audit`: who opened whose keys.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use shared::{problem::Problem, serve::Json};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::caller::Authenticated;
use crate::{
    Vault,
    domain::audit_chain,
    read_audit::{ReadAuditError, audit_heads, read_audit},
};

/// Something that was done with the keys of a subject, or refused.
#[derive(Object)]
#[oai(rename = "AuditRecord")]
struct Record {
    at: OffsetDateTime,
    /// The service that asked; absent for what the vault does by itself.
    #[oai(skip_serializing_if_is_none)]
    caller: Option<String>,
    /// `create`, `unwrap`, `rewrap`, `shred`, `restore` or `purge`.
    operation: String,
    /// What the key is for.
    #[oai(skip_serializing_if_is_none)]
    purpose: Option<String>,
    /// The key, where one was made or opened.
    #[oai(skip_serializing_if_is_none)]
    dek_id: Option<Uuid>,
    /// `ok`, or the code of the refusal; `asked` for a shred or a restore that is about to be tried.
    outcome: String,
    /// Of the request, for the logs.
    #[oai(skip_serializing_if_is_none)]
    request_id: Option<String>,
}

impl From<audit_chain::Entry> for Record {
    fn from(entry: audit_chain::Entry) -> Self {
        Self {
            at: entry.at,
            caller: entry.caller,
            operation: entry.operation,
            purpose: entry.purpose,
            dek_id: entry.dek_id,
            outcome: entry.outcome,
            request_id: entry.request_id,
        }
    }
}

/// What was done, newest first.
#[derive(Object)]
#[oai(rename = "Audit", example)]
struct Records {
    records: Vec<Record>,
}

impl Example for Records {
    fn example() -> Self {
        let record = Record {
            at: datetime!(2026-11-24 21:04:05.123456 UTC),
            caller: Some("journal".to_owned()),
            operation: "unwrap".to_owned(),
            purpose: Some("entries".to_owned()),
            dek_id: Some(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00d1)),
            outcome: "ok".to_owned(),
            request_id: Some("1f0c6d9be1c84a3f9b5d0a6e2c7f4b18".to_owned()),
        };
        Self {
            records: vec![record],
        }
    }
}

/// The newest record of a chain.
#[derive(Object)]
#[oai(rename = "AuditHead")]
struct Head {
    chain: Uuid,
    /// How many records are before it.
    number: u64,
    /// 64 hexadecimal digits.
    mac: String,
}

/// Where every chain is: kept elsewhere, it shows when the newest records were removed (`vault-service audit verify`).
#[derive(Object)]
#[oai(rename = "AuditHeads", example)]
struct Heads {
    heads: Vec<Head>,
}

impl Example for Heads {
    fn example() -> Self {
        let head = Head {
            chain: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00c1),
            number: 41_287,
            mac: "8f0d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d".to_owned(),
        };
        Self { heads: vec![head] }
    }
}

/// The operations; the vault comes with the request.
pub(super) struct AuditApi;

/// The audit.
#[OpenApi(prefix_path = "/v1/audit")]
impl AuditApi {
    /// Read the audit of a subject
    ///
    /// For identity alone, on behalf of the person: what was done with their keys, by which service, and what was refused.
    /// About 100 records, and never a part of those of one moment: go on with the `at` of the last.
    #[oai(path = "/", method = "get", operation_id = "read_audit")]
    async fn read(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
        /// The person.
        subject: Query<Uuid>,
        /// Only what was before this moment, for the next page.
        before: Query<Option<OffsetDateTime>>,
    ) -> Result<Json<Records>, Problem<ReadAuditError>> {
        let caller = service.caller();
        let now = vault.clock.now();
        let records = read_audit(&vault, caller, subject.0, before.0, now).await?;
        let records = records.into_iter().map(Record::from).collect();
        Ok(Json(Records { records }))
    }

    /// Read where the audit is
    ///
    /// For every service: whoever keeps the answer can show later that nothing before it is missing.
    #[oai(path = "/head", method = "get", operation_id = "read_audit_head")]
    async fn head(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
    ) -> Result<Json<Heads>, Problem<ReadAuditError>> {
        let heads = audit_heads(&vault, service.caller(), vault.clock.now()).await?;
        let heads = heads.into_iter().map(|head| Head {
            chain: head.chain,
            number: head.number,
            mac: hex::encode(head.mac),
        });
        Ok(Json(Heads {
            heads: heads.collect(),
        }))
    }
}
