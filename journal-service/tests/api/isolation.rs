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

/// Every operation on a pillar or a score of that id.
async fn attempt_pillar(
    journal: &Journal,
    pillar: &str,
    score: &str,
    if_match: Option<&str>,
) -> Vec<Answer> {
    let path = format!("/pillars/{pillar}");
    let scores = format!("{path}/scores");
    vec![
        journal.get(&path).await,
        journal
            .put(&path, &serde_json::json!({"name": "taken over"}), if_match)
            .await,
        journal.remove(&path, if_match).await,
        journal.get(&scores).await,
        journal.get(&format!("{scores}?after=AAAA")).await,
        journal
            .post(
                &scores,
                &serde_json::json!({"value": 1, "date": "2026-11-24"}),
            )
            .await,
        journal.remove(&format!("{scores}/{score}"), None).await,
    ]
}

#[tokio::test]
async fn another_persons_pillar_and_score_and_random_ids_are_the_same_404() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("ada's secret").await;
    let scores = format!("/pillars/{pillar}/scores");
    let score = serde_json::json!({"value": 7, "date": "2026-11-24"});
    let score = ada.post(&scores, &score).await.json();
    let score = score["id"].as_str().expect("an id");
    let writer = Journal::of_a_new_person().await;
    let bobs = writer.pillar("bob's own").await;
    let random = "0198c0de-0000-7000-8000-00000000dead";
    // Ada's score is none of a pillar of Bob's.
    let borrowed = writer
        .remove(&format!("/pillars/{bobs}/scores/{score}"), None)
        .await;
    assert_eq!(borrowed.problem(), (404, "score_not_found".to_owned()));
    for bob in [writer, Journal::of_a_new_person().await] {
        for if_match in [None, Some("*"), Some("\"1\"")] {
            let theirs = attempt_pillar(&bob, &pillar, score, if_match).await;
            let nobodys = attempt_pillar(&bob, random, random, if_match).await;
            for (theirs, nobodys) in theirs.iter().zip(&nobodys) {
                assert_eq!(theirs.status, 404, "{}", theirs.text);
                assert_eq!(comparable(theirs), comparable(nobodys));
            }
        }
    }
    for malformed in ["1", "not-an-id", "%00", "%ff", "null"] {
        for answer in attempt_pillar(&ada, malformed, score, None).await {
            assert_eq!(
                answer.problem(),
                (400, "invalid_request".to_owned()),
                "{malformed}"
            );
        }
        let answer = ada.remove(&format!("{scores}/{malformed}"), None).await;
        assert_eq!(answer.pointers(), ["path:score_id"], "{malformed}");
    }
    let untouched = ada.get(&format!("/pillars/{pillar}")).await.json();
    assert_eq!(
        (&untouched["name"], &untouched["current"]),
        (&"ada's secret".into(), &7.0.into())
    );
}

#[tokio::test]
async fn what_one_person_feels_is_nothing_to_another() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let secret = serde_json::json!({"note": "ada's secret"});
    for path in [
        "/feels/2026-11-24/morning",
        "/feels/2026-11-24/evening",
        "/weekly/2026-W48",
    ] {
        assert_eq!(ada.put(path, &secret, None).await.status, 200);
        assert_eq!(bob.remove(path, None).await.status, 404);
        let theirs = bob.get(path).await;
        let nobodys = bob
            .get(&path.replace("24", "25").replace("W48", "W50"))
            .await;
        assert_eq!(theirs.status, nobodys.status);
        assert!(!theirs.text.contains("secret"));
        assert_eq!(
            bob.put(path, &serde_json::json!({"note": "bob's"}), None)
                .await
                .status,
            200
        );
        assert!(ada.get(path).await.text.contains("ada's secret"));
    }
    assert!(!bob.get("/feels").await.text.contains("ada's secret"));
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
