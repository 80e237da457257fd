//! The vault goes away under a running stack, and comes back.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use stack::{Person, Service, Stack, until};

#[tokio::test]
async fn people_still_log_in_while_the_vault_is_away_and_sealed_reads_say_when_to_come_back() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let mut ada = Person::new(stack.addresses(), "ada").await;
    // A service that was just started has no key of hers in memory.
    stack.stop_service(Service::Identity).await.unwrap();
    stack.start_service(Service::Identity).await.unwrap();
    stack.stop_service(Service::Vault).await.unwrap();

    ada.log_in().await.unwrap();
    let refresh = json!({ "refresh_token": ada.refresh_token });
    let refreshed = ada.identity(Method::POST, "/refresh", Some(refresh)).await;
    assert_eq!(refreshed.unwrap().status, 200);
    for sealed in ["/me", "/sessions", "/security-events", "/key-records"] {
        let answer = ada.identity(Method::GET, sealed, None).await.unwrap();
        assert_eq!(answer.status, 503, "{sealed}");
        assert!(answer.headers.contains_key("retry-after"), "{sealed}");
    }

    stack.start_service(Service::Vault).await.unwrap();
    let again = async || {
        let answer = ada.identity(Method::GET, "/sessions", None).await.unwrap();
        (answer.status == 200).then_some(answer).ok_or("not yet")
    };
    let listed = until("the sessions", Duration::from_secs(20), again).await;
    let body = listed.unwrap().body;
    let sessions = body["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    // The one of the outage is there, and nobody noted from where it came.
    let noted = sessions
        .iter()
        .filter(|session| session.get("network").is_some());
    assert_eq!(noted.count(), 1);
}
