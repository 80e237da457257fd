//! The API port and the ops port of the vault.

mod audit;
mod caller;
mod data_keys;
mod master_keys;
mod seal;
mod shreds;

use std::{process::ExitCode, sync::Arc};

use poem::EndpointExt;
use poem_openapi::OpenApiService;
use serde_json::Value;
use shared::{
    openapi,
    serve::{Edge, Readiness},
    service::Prepared,
    telemetry::Metrics,
};

use crate::Vault;
use audit::AuditApi;
use caller::SCHEMES;
use data_keys::DataKeysApi;
use master_keys::MasterKeysApi;
use seal::SealApi;
use shreds::ShredsApi;

const TITLE: &str = "Keystead vault";
const DESCRIPTION: &str = "Holds the master keys; makes, wraps and opens data keys for the other \
    services; shreds people; records who did what. Every call needs a client certificate of the platform's private CA and a service \
    token that names the same service; what cannot be undone, one that is good for this one request.";

/// The OpenAPI document. Needs no settings and no sockets.
pub fn document() -> Value {
    openapi::document(&service(), SCHEMES, &[])
}

/// The subcommand `openapi`: prints the document, or says what is missing in it.
pub fn print_document() -> ExitCode {
    openapi::print(&service(), SCHEMES, &[])
}

/// What the API port serves.
pub(crate) fn api(vault: Arc<Vault>) -> Edge {
    let service = service();
    let document = openapi::document(&service, SCHEMES, &[]);
    Edge::new(service.data(vault), &document)
}

/// What the ops port serves: probes, metrics, and the API explorer, which a browser without a client
/// certificate could not reach on the API port. `prepared` turns true when the database is migrated and
/// the master keys are the right ones.
pub(crate) fn ops(vault: Arc<Vault>, prepared: Prepared, metrics: Metrics) -> Edge {
    let readiness = move || readiness(Arc::clone(&vault), prepared.is_done());
    shared::serve::ops(metrics, readiness).with_explorer(&document())
}

async fn readiness(vault: Arc<Vault>, prepared: bool) -> Readiness {
    let seal = if vault.keys.if_open().is_some() {
        "open"
    } else {
        "sealed"
    };
    let key_memory = match vault.keys.if_open() {
        None => "empty",
        Some(keys) if keys.is_locked() => "locked",
        Some(_) => "not_locked",
    };
    Readiness::new()
        .check("postgres", vault.pool.ping().await.is_ok())
        .check("master_keys", prepared && vault.keys.if_open().is_some())
        .state("seal", seal)
        .state("key_memory", key_memory)
}

fn service() -> OpenApiService<(DataKeysApi, ShredsApi, AuditApi, MasterKeysApi, SealApi), ()> {
    let operations = (DataKeysApi, ShredsApi, AuditApi, MasterKeysApi, SealApi);
    OpenApiService::new(operations, TITLE, env!("CARGO_PKG_VERSION")).description(DESCRIPTION)
}
