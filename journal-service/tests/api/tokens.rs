//! Nobody without a person's access token gets anywhere.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::Value;
use stack::Addresses;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::journal::{Journal, PATIENCE, draft, sent};

#[tokio::test]
async fn without_a_valid_access_token_no_operation_answers() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "private")).await;
    let entry = format!("/{id}");
    let operations = [
        (Method::POST, ""),
        (Method::GET, ""),
        (Method::GET, entry.as_str()),
        (Method::PUT, entry.as_str()),
        (Method::DELETE, entry.as_str()),
    ];
    let credentials = bad_credentials(ada.token());
    for (method, rest) in operations {
        for (credential, code) in &credentials {
            let mut request = ada.unauthenticated(method.clone(), rest);
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            if method == Method::POST || method == Method::PUT {
                request = request.json(&draft("2026-11-24", "intruder"));
            }
            let answer = sent(request).await;
            assert_eq!(
                answer.problem(),
                (401, (*code).to_owned()),
                "{method} {credential:?}"
            );
            assert!(
                answer
                    .header("www-authenticate")
                    .is_some_and(|it| it.starts_with("Bearer"))
            );
        }
    }
    assert_eq!(ada.read(&id).await.json()["title"], "private");
    assert_eq!(
        ada.list("").await.json()["entries"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn neither_does_one_on_pillars_feels_and_weeks() {
    let ada = Journal::of_a_new_person().await;
    let pillar = format!("/pillars/{}", ada.pillar("private").await);
    let scores = format!("{pillar}/scores");
    let score = format!("{scores}/0198c0de-0000-7000-8000-00000000dead");
    let (get, put) = (Method::GET, Method::PUT);
    for (method, path) in [
        (&get, "/pillars"),
        (&Method::POST, "/pillars"),
        (&put, "/pillars/order"),
        (&get, pillar.as_str()),
        (&put, pillar.as_str()),
        (&Method::DELETE, pillar.as_str()),
        (&get, scores.as_str()),
        (&Method::POST, scores.as_str()),
        (&Method::DELETE, score.as_str()),
        (&get, "/feels"),
        (&get, "/feels/2026-11-24/morning"),
        (&put, "/feels/2026-11-24/morning"),
        (&Method::DELETE, "/feels/2026-11-24/morning"),
        (&get, "/feels/2026-11-24/evening"),
        (&put, "/feels/2026-11-24/evening"),
        (&Method::DELETE, "/feels/2026-11-24/evening"),
        (&get, "/weekly/2026-W48"),
        (&put, "/weekly/2026-W48"),
        (&Method::DELETE, "/weekly/2026-W48"),
    ] {
        let request = ada.unauthenticated(method.clone(), &format!("/..{path}"));
        let answer = sent(request).await;
        assert_eq!(answer.problem().0, 401, "{method} {path}");
    }
    assert_eq!(ada.get(&pillar).await.status, 200);
}

#[tokio::test]
async fn the_document_is_served_and_names_every_operation() {
    let ada = Journal::of_a_new_person().await;
    let answer = sent(ada.unauthenticated(Method::GET, "/../../openapi.json")).await;
    assert_eq!(answer.status, 200);
    let document: Value = answer.json();
    let paths = document["paths"].as_object().expect("a document has paths");
    assert_eq!(
        paths.keys().collect::<Vec<_>>(),
        [
            "/api/changes",
            "/api/entries",
            "/api/entries/{id}",
            "/api/entries/{id}/revisions",
            "/api/export",
            "/api/feels",
            "/api/feels/{date}/evening",
            "/api/feels/{date}/morning",
            "/api/import",
            "/api/pillars",
            "/api/pillars/order",
            "/api/pillars/{id}",
            "/api/pillars/{id}/scores",
            "/api/pillars/{id}/scores/{score_id}",
            "/api/weekly/{iso_week}",
            "/internal/people/{user_id}",
            "/internal/people/{user_id}/closure",
        ]
    );
}

#[tokio::test]
async fn a_stranger_is_refused_before_their_body_is_sent() {
    let address = Addresses::of_the_test_run().api.journal;
    let address = address.strip_prefix("http://").expect("plain HTTP");
    for start in [
        "POST /api/entries",
        "PUT /api/entries/0198c0de-0000-7000-8000-0000000000e1",
    ] {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let header = format!(
            "{start} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
             Content-Length: 4000000\r\nAuthorization: Bearer nonsense\r\n\r\n"
        );
        socket.write_all(header.as_bytes()).await.expect("it reads");
        let mut answer = [0; 12];
        let read = timeout(PATIENCE, socket.read_exact(&mut answer)).await;
        read.expect("it does not wait for the body")
            .expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
}

/// What is no access token, and the code of its refusal.
fn bad_credentials(token: &str) -> Vec<(Option<String>, &'static str)> {
    let (payload, signature) = token.rsplit_once('.').expect("a token has three parts");
    let mut forged: Vec<_> = signature.chars().rev().collect();
    forged.swap(3, 40);
    let forged = format!("{payload}.{}", forged.into_iter().collect::<String>());
    let unsigned = format!("{payload}.");
    let retyped = |typ| retyped(token, typ);
    vec![
        (None, "unauthorized"),
        (Some("Basic YTpi".to_owned()), "unauthorized"),
        (Some("Bearer nonsense".to_owned()), "invalid_token"),
        (Some(format!("Bearer {unsigned}")), "invalid_token"),
        (Some(format!("Bearer {forged}")), "invalid_token"),
        (Some("Bearer kst_r_AAAA".to_owned()), "wrong_token_type"),
        (Some("Bearer kst_v_AAAA".to_owned()), "wrong_token_type"),
        (
            Some(format!("Bearer {}", retyped("svc+jwt"))),
            "wrong_token_type",
        ),
        (
            Some(format!("Bearer {}", retyped("JWT"))),
            "wrong_token_type",
        ),
    ]
}

/// The token under a header that calls it something else.
fn retyped(token: &str, typ: &str) -> String {
    let (_, rest) = token.split_once('.').expect("a token has three parts");
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"any"}}"#);
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header))
}
