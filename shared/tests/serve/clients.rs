//! Who a client is, and whether it is answered at all.

use std::sync::Arc;

use poem::http::{HeaderName, HeaderValue};
use shared::openapi;
use shared::problem::{Case, Failure, Problem, RATE_LIMITED};
use shared::serve::{Edge, Limits, RequestScope, Server, TrustedProxies};

use crate::api::service;
use crate::host::{Answer, Host};

#[derive(Debug, thiserror::Error)]
#[error("Not you.")]
struct Refused;

impl Failure for Refused {
    const CASES: &'static [Case] = &[RATE_LIMITED];

    fn case(&self) -> &'static Case {
        &RATE_LIMITED
    }
}

/// Refuses one client's notes, and names every client it has seen on the answer.
async fn host(trusted: &str) -> Host {
    let api = service(&Arc::default());
    let document = openapi::document(&api, &[], &["create_note"]);
    let edge = Edge::new(api, &document).with_gate(|operation, client| {
        let refused = operation == "create_note" && client.ip().to_string() == "203.0.113.5";
        let seen = format!("{operation} {}", client.network());
        async move {
            let scope = RequestScope::current().expect("the gate is part of the request");
            let seen = HeaderValue::try_from(seen).expect("a name and an address");
            scope.answer_with(HeaderName::from_static("x-seen"), seen);
            if refused {
                return Err(Problem(Refused).into());
            }
            Ok(())
        }
    });
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = Server::bind(address, Limits::default()).await;
    let trusted = TrustedProxies::parse(trusted).expect("networks");
    Host::of(
        server.expect("a free port").with_trusted_proxies(trusted),
        edge,
    )
}

async fn post(host: &Host, forwarded_for: &str, body: &str) -> Answer {
    let mut raw = host.connect().await;
    raw.send(&format!(
        "POST /notes HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: {forwarded_for}\r\n\
         Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{body}"
    ))
    .await;
    raw.answer().await
}

#[tokio::test]
async fn who_is_refused_is_answered_before_the_body_is_read() {
    let host = host("127.0.0.1").await;
    let answer = post(&host, "203.0.113.5", "").await;
    answer.assert_problem(429, "rate_limited");
    assert_eq!(answer.field("x-seen"), Some("create_note 203.0.113.5"));
}

#[tokio::test]
async fn who_is_not_trusted_is_not_believed() {
    let host = host("192.0.2.1").await;
    let answer = post(&host, "203.0.113.5", "{\"title\":\"seventh\"}").await;
    assert_eq!(answer.status(), 201, "{answer:?}");
    assert_eq!(answer.field("x-seen"), Some("create_note 127.0.0.1"));
}

#[tokio::test]
async fn what_the_gate_says_is_on_problems_too() {
    let host = host("127.0.0.1").await;
    let conflict = post(&host, "2001:db8::7", "{\"title\":\"taken\"  }").await;
    conflict.assert_problem(409, "title_taken");
    assert_eq!(conflict.field("x-seen"), Some("create_note 2001:db8::/64"));
    let malformed = post(&host, "2001:db8::7", "{\"title\":\"taken\"  ]").await;
    malformed.assert_problem(400, "malformed_json");
    assert!(malformed.field("x-seen").is_some());
}

#[test]
fn the_document_tells_of_the_limit() {
    let document = openapi::document(&service(&Arc::default()), &[], &["create_note"]);
    let responses = &document["paths"]["/notes"]["post"]["responses"];
    for status in ["201", "400", "409", "429"] {
        let header = &responses[status]["headers"]["RateLimit"];
        assert_eq!(header["$ref"], "#/components/headers/RateLimit", "{status}");
    }
    assert!(responses["429"]["headers"]["Retry-After"].is_object());
    let me = &document["paths"]["/me"]["get"]["responses"];
    assert!(me["200"]["headers"].is_null() && me["429"].is_null());
}
