//! The API port and the ops port of the journal.

mod changes;
mod entries;
mod export;
mod feed;
mod feel_shapes;
mod feels;
mod found;
mod header_lines;
mod import;
mod journal_file;
mod people;
mod pillars;
mod record_shapes;
mod revisions;
mod scores;
mod service_caller;
mod week_shapes;
mod weekly;
mod with_current;

use std::{process::ExitCode, sync::Arc};

use poem::EndpointExt;
use poem_openapi::{OpenApiService, Tags};
use serde_json::Value;
use shared::{
    access_token::{self, Verification},
    openapi,
    serve::{Edge, Readiness},
    service::Prepared,
    telemetry::Metrics,
};

use crate::Journal;
use changes::ChangesApi;
use entries::EntriesApi;
use export::ExportApi;
use feels::FeelsApi;
use import::ImportApi;
use people::PeopleApi;
use pillars::PillarsApi;
use revisions::RevisionsApi;
use scores::ScoresApi;
use weekly::WeeklyApi;

const TITLE: &str = "Keystead journal";
const DESCRIPTION: &str = "A person's journal, sealed under a key that only opens while they are here. \
    Every call but identity's own needs the person's access token from the identity service: as a bearer token, or in the \
    cookie of a browser session. Another person's entry and one that does not exist are the same 404; so it is with everything else that has an id.";

/// Every operation wants a person, or identity, and refuses in the same words when there is none.
const SCHEMES: &[openapi::Scheme] = &{
    let [bearer, cookie] = *access_token::SCHEMES;
    [bearer, cookie, service_caller::SCHEME]
};

#[derive(Tags)]
enum Tag {
    /// What a person writes, day by day.
    Entries,
    /// The areas of a person's life, and how each one goes.
    Pillars,
    /// How a person's days began and ended.
    Feels,
    /// Weeks at a glance.
    Weekly,
    /// Following everything that changes in a journal, for clients that work without a connection.
    Changes,
    /// A journal as a file, and back.
    Files,
    /// What identity does when somebody deletes their account. Not for people, and for no other service.
    People,
}

/// The OpenAPI document. Needs no settings and no sockets.
pub fn document() -> Value {
    openapi::document(&service(), SCHEMES, &[])
}

/// The subcommand `openapi`: prints the document, or says what is missing in it.
pub fn print_document() -> ExitCode {
    openapi::print(&service(), SCHEMES, &[])
}

/// What the API port serves.
pub(crate) fn api(journal: Arc<Journal>) -> Edge {
    let service = service();
    let document = openapi::document(&service, SCHEMES, &[]);
    let verification = Verification {
        verifier: Arc::clone(&journal.people),
        clock: journal.clock.clone(),
        origins: journal.origins.clone(),
    };
    let origins = journal.origins.clone();
    Edge::new(service.data(journal).data(verification), &document)
        .with_explorer(&document)
        .with_flow(import::OPERATION, import::FLOW)
        .with_cors(origins)
}

/// What the ops port serves: probes and metrics. `prepared` turns true when the database is migrated.
pub(crate) fn ops(journal: Arc<Journal>, prepared: Prepared, metrics: Metrics) -> Edge {
    let readiness = move || readiness(Arc::clone(&journal), prepared.is_done());
    shared::serve::ops(metrics, readiness)
}

async fn readiness(journal: Arc<Journal>, prepared: bool) -> Readiness {
    Readiness::new()
        .check("postgres", journal.pool.ping().await.is_ok())
        .check("schema", prepared)
}

type Apis = (
    EntriesApi,
    RevisionsApi,
    PillarsApi,
    ScoresApi,
    FeelsApi,
    WeeklyApi,
    ChangesApi,
    ExportApi,
    ImportApi,
    PeopleApi,
);

fn service() -> OpenApiService<Apis, ()> {
    let apis = (
        EntriesApi,
        RevisionsApi,
        PillarsApi,
        ScoresApi,
        FeelsApi,
        WeeklyApi,
        ChangesApi,
        ExportApi,
        ImportApi,
        PeopleApi,
    );
    OpenApiService::new(apis, TITLE, env!("CARGO_PKG_VERSION")).description(DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lacks_nothing() {
        assert_eq!(openapi::missing(&document()), Vec::<String>::new());
    }
}
