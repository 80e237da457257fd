//! Somebody else's entry and one that is not there cannot be told apart, by any operation.

use reqwest::Method;
use serde_json::Value;

use crate::journal::{Answer, Journal, draft, sent};

const OPERATIONS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

async fn attempt(journal: &Journal, method: &Method, id: &str, if_match: Option<&str>) -> Answer {
    let mut request = journal.request(method.clone(), &format!("/{id}"));
    if *method == Method::PUT {
        request = request.json(&draft("2026-11-24", "taken over"));
    }
    if let Some(tag) = if_match {
        request = request.header("If-Match", tag);
    }
    sent(request).await
}

/// Everything of an answer but what differs between any two: ids and times of the request itself.
fn comparable(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    (answer.status, body, headers)
}

#[tokio::test]
async fn another_persons_entry_and_a_random_id_are_the_same_404() {
    let ada = Journal::of_a_new_person().await;
    let entry = ada.write(&draft("2026-11-24", "ada's secret")).await;
    let writer = Journal::of_a_new_person().await;
    writer.write(&draft("2026-11-24", "bob's own")).await;
    let stranger = Journal::of_a_new_person().await;
    let random = "0198c0de-0000-7000-8000-00000000dead";
    for bob in [writer, stranger] {
        for method in &OPERATIONS {
            for if_match in [None, Some("*"), Some("\"1\""), Some("\"2\"")] {
                let theirs = attempt(&bob, method, &entry, if_match).await;
                let nobodys = attempt(&bob, method, random, if_match).await;
                assert_eq!(
                    theirs.problem(),
                    (404, "entry_not_found".to_owned()),
                    "{method}"
                );
                assert_eq!(
                    comparable(&theirs),
                    comparable(&nobodys),
                    "{method} {if_match:?}"
                );
            }
        }
        assert!(!bob.list("").await.text.contains("ada's secret"));
    }
    let untouched = ada.read(&entry).await.json();
    assert_eq!(
        (&untouched["title"], &untouched["revision"]),
        (&"ada's secret".into(), &1.into())
    );
}

#[tokio::test]
async fn a_malformed_id_is_400_whatever_the_operation() {
    let ada = Journal::of_a_new_person().await;
    let malformed = [
        "1",
        "not-an-id",
        "0198c0de-0000-7000-8000-00000000000g",
        "%00",
        "%ff",
        "..%2f..",
        "null",
    ];
    for id in malformed {
        for method in &OPERATIONS {
            let answer = attempt(&ada, method, id, None).await;
            assert_eq!(
                answer.problem(),
                (400, "invalid_request".to_owned()),
                "{method} {id}"
            );
            assert_eq!(answer.pointers(), ["path:id"]);
        }
    }
}
