//! The API port and the ops port of identity.

mod accounts;
mod device;
mod devices;
mod keys;
mod secret_text;
mod sessions;

use std::{process::ExitCode, sync::Arc};

use poem::EndpointExt;
use poem_openapi::{OpenApiService, Tags};
use shared::{
    access_token::{self, Verification},
    openapi,
    serve::{Edge, Readiness},
    service::Prepared,
    telemetry::Metrics,
};

use crate::Identity;
use accounts::AccountsApi;
use devices::DevicesApi;
use keys::KeysApi;
use sessions::SessionsApi;

const TITLE: &str = "Keystead identity";
const DESCRIPTION: &str = "Sign-up, login and sessions. Access tokens are JWTs (RFC 9068) signed with Ed25519 and \
    verify with the keys at `/.well-known/jwks.json`; refresh tokens are opaque. Nothing here tells whether an \
    address is known: its owner learns it by mail.";

/// What the security scheme's checker answers.
const SCHEMES: &[openapi::Scheme] = &[access_token::SCHEME];

#[derive(Tags)]
enum Tag {
    /// From an address to a confirmed account.
    Accounts,
    /// Logging in, staying logged in, leaving.
    Sessions,
    /// What others need to verify access tokens.
    Keys,
}

/// The subcommand `openapi`: prints the document, or says what is missing in it.
pub fn print_document() -> ExitCode {
    openapi::print(&service(), SCHEMES)
}

/// What the API port serves.
pub(crate) fn api(identity: Arc<Identity>) -> Edge {
    let service = service();
    let document = openapi::document(&service, SCHEMES);
    let verification = Verification {
        verifier: Arc::clone(&identity.verifier),
        clock: identity.clock.clone(),
    };
    Edge::new(service.data(identity).data(verification), &document).with_explorer(&document)
}

/// What the ops port serves: probes and metrics. `prepared` turns true when the database is migrated.
pub(crate) fn ops(identity: Arc<Identity>, prepared: Prepared, metrics: Metrics) -> Edge {
    let readiness = move || readiness(Arc::clone(&identity), prepared.is_done());
    shared::serve::ops(metrics, readiness)
}

async fn readiness(identity: Arc<Identity>, prepared: bool) -> Readiness {
    Readiness::new()
        .check("postgres", identity.pool.ping().await.is_ok())
        .check("schema", prepared)
        .check("signing_key", identity.signing.is_ready())
}

fn service() -> OpenApiService<(AccountsApi, SessionsApi, DevicesApi, KeysApi), ()> {
    let apis = (AccountsApi, SessionsApi, DevicesApi, KeysApi);
    OpenApiService::new(apis, TITLE, env!("CARGO_PKG_VERSION")).description(DESCRIPTION)
}
