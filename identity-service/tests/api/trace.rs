//! One trace through the services (W3C Trace Context).

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use shared::random;
use stack::{Addresses, until};

use crate::{
    accounts::{PASSWORD, somebody},
    service::{PATIENCE, Service, sent},
};

#[tokio::test]
async fn what_the_vault_does_for_a_request_is_of_the_same_trace() {
    let identity = Service::of_the_test_run();
    let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
    let trace = hex::encode(random::bytes::<16>());
    // A confirmation has the vault make the person's key.
    let request = identity
        .request(Method::POST, "/api/auth/verify-email")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({ "token": token }));
    assert_eq!(sent(request).await.status, 200);
    let log = Addresses::of_the_test_run().log_dir.join("vault.log");
    let traced = async || {
        let log = fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let mut lines = log.lines().filter(|line| line.contains(&trace));
        let line = lines.next().ok_or("no line of the trace")?;
        serde_json::from_str::<Value>(line).map_err(|error| error.to_string())
    };
    let traced = until("the line of the vault", PATIENCE, traced).await;
    let line = traced.expect("it is told whose work this is");
    assert_eq!(line["trace_id"], trace);
}
