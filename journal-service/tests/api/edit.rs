//! `PUT /api/entries/{id}`.

use reqwest::{Method, header::HeaderValue};
use serde_json::json;
use tokio::task::JoinSet;

use crate::journal::{Journal, draft, sent};

#[tokio::test]
async fn an_edit_replaces_everything_and_counts_the_revision() {
    let ada = Journal::of_a_new_person().await;
    let first = ada.create(&draft("2026-11-24", "first")).await.json();
    let id = first["id"].as_str().expect("an entry has an id");
    let least = json!({"date": "2025-01-01", "title": "second", "body": ""});
    let edited = ada.replace(id, &least, None).await;
    assert_eq!(
        (edited.status, edited.header("etag")),
        (200, Some("\"2\"")),
        "{}",
        edited.text
    );
    let second = edited.json();
    assert_eq!(second["title"], "second");
    assert_eq!(second["date"], "2025-01-01");
    assert_eq!(second["tags"], json!([]));
    assert_eq!(second.get("mood"), None);
    assert_eq!(second["revision"], 2);
    assert_eq!(second["created_at"], first["created_at"]);
    assert!(second["updated_at"].as_str() > first["updated_at"].as_str());
    assert_eq!(ada.read(id).await.json(), second);
}

#[tokio::test]
async fn an_edit_of_another_revision_is_refused_with_the_current_one() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let second = draft("2026-11-24", "second");
    assert_eq!(ada.replace(&id, &second, Some("\"1\"")).await.status, 200);
    let third = draft("2026-11-24", "third");
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "\"abc\"", "\"1\", \"7\""] {
        let refused = ada.replace(&id, &third, Some(stale)).await;
        assert_eq!(
            refused.problem(),
            (412, "revision_conflict".to_owned()),
            "{stale}"
        );
        assert_eq!(refused.header("etag"), Some("\"2\""));
        assert_eq!(refused.json()["current"], ada.read(&id).await.json());
    }
    for malformed in ["2", "\"2", "", "*, \"2\""] {
        let refused = ada.replace(&id, &third, Some(malformed)).await;
        assert_eq!(
            refused.problem(),
            (400, "invalid_request".to_owned()),
            "{malformed}"
        );
        assert_eq!(refused.pointers(), ["header:If-Match"]);
    }
    assert_eq!(ada.read(&id).await.json()["title"], "second");
    for current in ["\"2\"", "*", "\"9\", \"4\""] {
        let title = format!("with {current}");
        let taken = ada
            .replace(&id, &draft("2026-11-24", &title), Some(current))
            .await;
        assert_eq!(taken.status, 200, "{}", taken.text);
    }
}

#[tokio::test]
async fn no_line_of_if_match_is_overlooked() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let second = draft("2026-11-24", "second");
    let attempt = async |method: Method, lines: &[&[u8]]| {
        let mut request = ada.request(method, &format!("/{id}")).json(&second);
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("HTTP allows it");
            request = request.header("If-Match", value);
        }
        sent(request).await
    };
    let unreadable: [&[&[u8]]; 5] = [
        &[b"\"\xff7\""],
        &[b"\xff"],
        &[b"\"1\"", b"\"\xff\""],
        &[b"*", b"\"1\""],
        &[b"\"1\"", b"1"],
    ];
    let elsewhere: [&[&[u8]]; 2] = [&[b"\"2\"", b"\"99\""], &[b"W/\"1\"", b"\"2\""]];
    for method in [Method::PUT, Method::DELETE] {
        for lines in unreadable {
            let refused = attempt(method.clone(), lines).await;
            assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
            assert_eq!(refused.pointers(), ["header:If-Match"], "{lines:?}");
        }
        for lines in elsewhere {
            let refused = attempt(method.clone(), lines).await;
            assert_eq!(refused.problem(), (412, "revision_conflict".to_owned()));
        }
    }
    assert_eq!(ada.read(&id).await.json()["title"], "first");
    let edited = attempt(Method::PUT, &[b"\"7\"", b"\"1\""]).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    let deleted = attempt(Method::DELETE, &[b"\"1\"", b"\"2\""]).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text);
}

#[tokio::test]
async fn the_same_content_again_changes_nothing_and_is_no_conflict() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let second = draft("2026-11-24", "second");
    let edited = ada.replace(&id, &second, Some("\"1\"")).await;
    // The answer was lost: the client repeats exactly what it sent.
    let repeated = ada.replace(&id, &second, Some("\"1\"")).await;
    assert_eq!(
        (repeated.status, repeated.header("etag")),
        (200, Some("\"2\""))
    );
    assert_eq!(repeated.json(), edited.json());
}

#[tokio::test]
async fn of_many_edits_of_one_revision_exactly_one_wins() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let mut edits = JoinSet::new();
    for number in 0..20 {
        let (ada, id) = (ada.clone(), id.clone());
        edits.spawn(async move {
            let title = format!("edit {number}");
            let answer = ada
                .replace(&id, &draft("2026-11-24", &title), Some("\"1\""))
                .await;
            (answer.status, title)
        });
    }
    let answers = edits.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 200)
        .collect();
    let refused = answers.iter().filter(|(status, _)| *status == 412).count();
    assert_eq!((winners.len(), refused), (1, 19), "{answers:?}");
    let stored = ada.read(&id).await.json();
    assert_eq!(stored["title"], winners[0].1.as_str());
    assert_eq!(stored["revision"], 2);
}

#[tokio::test]
async fn without_a_precondition_every_edit_counts_and_the_last_one_stays() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let mut edits = JoinSet::new();
    for number in 0..30 {
        let (ada, id) = (ada.clone(), id.clone());
        edits.spawn(async move {
            let title = format!("edit {number}");
            let answer = ada.replace(&id, &draft("2026-11-24", &title), None).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            (answer.json()["revision"].as_i64(), title)
        });
    }
    let mut answers = edits.join_all().await;
    answers.sort();
    let revisions: Vec<_> = answers
        .iter()
        .filter_map(|(revision, _)| *revision)
        .collect();
    assert_eq!(revisions, (2..32).collect::<Vec<_>>());
    let last = answers.last().map(|(_, title)| title.as_str());
    assert_eq!(ada.read(&id).await.json()["title"].as_str(), last);
}
