//! `/api/auth/key-records`: who opened a person's keys.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::{OffsetDateTime, macros::datetime};

use super::Tag;
use crate::{
    Identity,
    list_key_records::{self, list_key_records},
    logout::SessionError,
};

/// Something that was done with one of your keys, or refused.
#[derive(Object)]
struct KeyRecord {
    at: OffsetDateTime,
    /// The service that asked: `identity` or `journal`. Left out for what the vault does by itself.
    #[oai(skip_serializing_if_is_none)]
    service: Option<String>,
    /// `create`, `unwrap` (the key was opened), `rewrap`, `shred`, `restore` or `purge`; there may be more.
    operation: String,
    /// What the key protects: `account` or `entries`. Left out where all of them are meant.
    #[oai(skip_serializing_if_is_none)]
    purpose: Option<String>,
    /// `ok`, or why it was refused; `asked` for a shred or a restore that is about to be tried.
    outcome: String,
}

impl From<list_key_records::KeyRecord> for KeyRecord {
    fn from(record: list_key_records::KeyRecord) -> Self {
        Self {
            at: record.at,
            service: record.caller,
            operation: record.operation,
            purpose: record.purpose,
            outcome: record.outcome,
        }
    }
}

/// What was done with your keys, the newest first.
#[derive(Object)]
#[oai(example)]
struct KeyRecords {
    records: Vec<KeyRecord>,
}

impl Example for KeyRecords {
    fn example() -> Self {
        let record = KeyRecord {
            at: datetime!(2026-11-24 21:04:05.123456 UTC),
            service: Some("journal".to_owned()),
            operation: "unwrap".to_owned(),
            purpose: Some("entries".to_owned()),
            outcome: "ok".to_owned(),
        };
        Self {
            records: vec![record],
        }
    }
}

/// The operation; identity comes with the request.
pub(super) struct KeyRecordsApi;

/// Keys of a person.
#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Sessions")]
impl KeyRecordsApi {
    /// Read who opened your keys
    ///
    /// From the audit of the vault, which no service opens a key without: your journal is read when `journal` opened your key
    /// for `entries`, your address when `identity` opened that for `account`. A service keeps an opened key for five minutes
    /// at most. About 100 records, and never a part of those of one moment: go on with the `at` of the last.
    #[oai(
        path = "/key-records",
        method = "get",
        operation_id = "list_key_records"
    )]
    async fn list(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        /// Only what was before this moment, for the next page.
        before: Query<Option<OffsetDateTime>>,
    ) -> Result<Json<KeyRecords>, Problem<SessionError>> {
        let now = identity.clock.now();
        let records = list_key_records(&identity, &caller, before.0, now).await?;
        let records = records.into_iter().map(KeyRecord::from).collect();
        Ok(Json(KeyRecords { records }))
    }
}
