//! The API port and the ops port of identity.

mod accounts;
mod addresses;
mod cookies;
mod csrf_token;
mod deletion;
mod device;
mod devices;
mod introspect_form;
mod key_records;
mod keys;
mod mfa;
mod passwords;
mod qr_code;
mod secret_text;
mod service_caller;
mod sessions;
mod throttle;
mod validation;

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

use crate::{Identity, throttle::limited_operations};
use accounts::AccountsApi;
use addresses::AddressesApi;
use csrf_token::CsrfTokenApi;
use deletion::DeletionApi;
use devices::DevicesApi;
use key_records::KeyRecordsApi;
use keys::KeysApi;
use mfa::MfaApi;
use passwords::PasswordsApi;
use sessions::SessionsApi;
use validation::ValidationApi;

const TITLE: &str = "Keystead identity";
const DESCRIPTION: &str = "Sign-up, login and sessions. Access tokens are JWTs (RFC 9068) signed with Ed25519 and \
    verify with the keys at `/.well-known/jwks.json`; refresh tokens are opaque. Nothing here tells whether an \
    address is known: its owner learns it by mail.";

/// What the security scheme's checker answers.
const SCHEMES: &[openapi::Scheme] = &{
    let [bearer, cookie] = *access_token::SCHEMES;
    [bearer, cookie, service_caller::SCHEME]
};

#[derive(Tags)]
enum Tag {
    /// From an address to a confirmed account, and out again.
    Accounts,
    /// Choosing a new password.
    Passwords,
    /// Logging in, staying logged in, leaving.
    Sessions,
    /// Codes of an authenticator app beside the password.
    SecondFactor,
    /// What others need to judge access tokens.
    Keys,
}

/// The subcommand `openapi`: prints the document, or says what is missing in it.
pub fn print_document() -> ExitCode {
    openapi::print(&service(), SCHEMES, &limited_operations())
}

/// What the API port serves.
pub(crate) fn api(identity: Arc<Identity>) -> Edge {
    let service = service();
    let document = openapi::document(&service, SCHEMES, &limited_operations());
    let verification = Verification {
        verifier: Arc::clone(&identity.verifier),
        clock: identity.clock.clone(),
        origins: identity.origins.clone(),
    };
    let origins = identity.origins.clone();
    let gated = Arc::clone(&identity);
    Edge::new(service.data(identity).data(verification), &document)
        .with_explorer(&document)
        .with_gate(move |operation, client| {
            throttle::gate(Arc::clone(&gated), operation.to_owned(), client)
        })
        .with_cors(origins)
}

/// What the ops port serves: probes and metrics. `prepared` turns true when the database is migrated.
pub(crate) fn ops(identity: Arc<Identity>, prepared: Prepared, metrics: Metrics) -> Edge {
    let readiness = move || readiness(Arc::clone(&identity), prepared.is_done());
    shared::serve::ops(metrics, readiness)
}

async fn readiness(identity: Arc<Identity>, prepared: bool) -> Readiness {
    let (place, degraded) = identity.throttle.counters.place();
    let ready = Readiness::new()
        .check("postgres", identity.pool.ping().await.is_ok())
        .check("schema", prepared)
        .check("signing_key", identity.signing.is_ready())
        .state("rate_limits", place);
    if degraded {
        ready.degraded("redis")
    } else {
        ready
    }
}

type Apis = (
    AccountsApi,
    AddressesApi,
    PasswordsApi,
    SessionsApi,
    CsrfTokenApi,
    DevicesApi,
    KeyRecordsApi,
    MfaApi,
    DeletionApi,
    KeysApi,
    ValidationApi,
);

fn service() -> OpenApiService<Apis, ()> {
    let apis = (
        AccountsApi,
        AddressesApi,
        PasswordsApi,
        SessionsApi,
        CsrfTokenApi,
        DevicesApi,
        KeyRecordsApi,
        MfaApi,
        DeletionApi,
        KeysApi,
        ValidationApi,
    );
    OpenApiService::new(apis, TITLE, env!("CARGO_PKG_VERSION")).description(DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_asks_for_no_token_or_for_a_password_has_a_rate_limit_and_says_so() {
        let limited = limited_operations();
        let document = openapi::document(&service(), SCHEMES, &limited);
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for operation in item.as_object().expect("operations").values() {
                let id = operation["operationId"].as_str().expect("an id");
                if limited.contains(&id) {
                    found.push(id);
                    let responses = operation["responses"].as_object().expect("responses");
                    for (status, response) in responses.iter().filter(|(it, _)| *it != "default") {
                        assert!(
                            response["headers"]["RateLimit"].is_object(),
                            "{id} {status}"
                        );
                    }
                    let refused = &responses["429"];
                    assert!(refused["headers"]["Retry-After"].is_object(), "{id}");
                    let examples = &refused["content"]["application/problem+json"]["examples"];
                    assert!(examples["rate_limited"].is_object(), "{id}");
                } else {
                    assert!(
                        !operation["responses"]
                            .to_string()
                            .contains("wrong_password"),
                        "{id} hashes a password"
                    );
                    let open = operation.get("security").is_none();
                    // Public, the same for everybody, and cached.
                    assert!(
                        !open || path == "/.well-known/jwks.json",
                        "{id} has no limit"
                    );
                }
            }
        }
        assert_eq!(found.len(), limited.len());
    }
}
