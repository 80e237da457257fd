//! The API document is complete and says what the service does.

use std::sync::Arc;

use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};
use shared::openapi;
use shared::problem::Case;

use crate::api::service;

const REVOKED: Case = Case::new(401, "token_revoked", "The token was revoked");

fn document() -> Value {
    openapi::document(&service(&Arc::default()), &[("bearer", &[REVOKED])], &[])
}

#[test]
fn nothing_is_missing_in_a_complete_service() {
    let document = document();
    assert_eq!(openapi::missing(&document), Vec::<String>::new());
    assert_eq!(document["openapi"], "3.0.3");
    assert_eq!(document["servers"], json!([{"url": "/"}]));
}

#[test]
fn every_operation_lists_its_failures_and_a_default() {
    let document = document();
    let responses = &document["paths"]["/notes"]["post"]["responses"];
    let statuses: Vec<_> = responses.as_object().expect("responses").keys().collect();
    assert_eq!(
        statuses,
        [
            "201", "400", "408", "409", "413", "415", "500", "503", "default"
        ]
    );
    let codes = |status: &str| {
        let examples = &responses[status]["content"]["application/problem+json"]["examples"];
        examples
            .as_object()
            .expect("examples")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(codes("400"), ["invalid_request", "malformed_json"]);
    assert_eq!(codes("409"), ["title_taken"]);
    assert!(responses["503"]["headers"]["Retry-After"].is_object());
    assert!(responses["201"]["headers"]["Location"].is_object());
    assert!(responses["201"]["content"]["application/json"]["example"].is_object());
}

#[test]
fn a_security_scheme_brings_its_401s() {
    let document = document();
    let response = &document["paths"]["/me"]["get"]["responses"]["401"];
    assert_eq!(
        response["description"],
        "- `unauthorized`: Authentication is required\n- `token_revoked`: The token was revoked"
    );
    assert!(response["headers"]["WWW-Authenticate"].is_object());
}

#[test]
fn requests_say_that_they_refuse_unknown_fields_and_answers_do_not() {
    let schemas = document()["components"]["schemas"].clone();
    assert_eq!(schemas["Note"]["additionalProperties"], json!(false));
    assert!(schemas["Names"].get("additionalProperties").is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|it| check(it, document)),
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    let pointer = to.trim_start_matches('#');
                    assert!(document.pointer(pointer).is_some(), "{to} leads nowhere");
                }
                map.values().for_each(|it| check(it, document));
            }
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[test]
fn the_text_is_the_same_each_time_sorted_and_ends_with_a_newline() {
    let (first, second) = (openapi::text(&document()), openapi::text(&document()));
    assert_eq!(first, second);
    assert!(first.starts_with("{\n  \"components\""));
    assert!(first.ends_with("}\n"));
}

struct Bare;

#[OpenApi]
impl Bare {
    #[oai(path = "/bare", method = "get")]
    async fn bare(&self) -> shared::serve::Json<String> {
        std::future::ready(shared::serve::Json(String::new())).await
    }
}

#[test]
fn what_an_operation_lacks_is_named() {
    let document = openapi::document(&OpenApiService::new(Bare, "Bare", "1"), &[], &[]);
    assert_eq!(
        openapi::missing(&document),
        [
            "GET /bare: operationId",
            "GET /bare: summary",
            "GET /bare: example of the 200 response"
        ]
    );
}
