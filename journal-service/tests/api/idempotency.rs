//! `POST /api/entries` with an `Idempotency-Key`.

use reqwest::{Method, header::HeaderValue};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::journal::{Answer, Journal, database, draft, sent};

async fn create(journal: &Journal, key: &str, draft: &Value) -> Answer {
    let request = journal.request(Method::POST, "").json(draft);
    sent(request.header("Idempotency-Key", key)).await
}

async fn count(journal: &Journal) -> usize {
    let page = journal.list("?limit=100").await.json();
    page["entries"].as_array().expect("entries").len()
}

#[tokio::test]
async fn a_request_that_is_repeated_gets_the_same_answer_and_makes_one_entry() {
    let ada = Journal::of_a_new_person().await;
    let first = create(&ada, "monday", &draft("2026-11-24", "first")).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    // Somebody has gone on writing meanwhile.
    ada.replace(&id, &draft("2026-11-24", "second"), None).await;
    let again = create(&ada, "monday", &draft("2026-11-24", "first")).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    for header in ["location", "etag"] {
        assert_eq!(again.header(header), first.header(header));
    }
    assert_eq!(ada.read(&id).await.json()["title"], "second");
    assert_eq!(count(&ada).await, 1);
    let other = create(&ada, "tuesday", &draft("2026-11-24", "first")).await;
    assert_ne!(other.json()["id"], first.json()["id"]);
    assert_eq!(count(&ada).await, 2);
}

#[tokio::test]
async fn fifty_at_once_make_one_entry() {
    let ada = Journal::of_a_new_person().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let ada = ada.clone();
        asking.spawn(async move {
            create(&ada, "at once", &draft("2026-11-24", "one"))
                .await
                .text
        });
    }
    // A space is no part of a key.
    assert!(
        asking
            .join_all()
            .await
            .iter()
            .all(|text| text.contains("invalid_request"))
    );
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let ada = ada.clone();
        asking.spawn(async move {
            let answer = create(&ada, "at-once", &draft("2026-11-24", "one")).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            answer.json()["id"].as_str().expect("an id").to_owned()
        });
    }
    let mut ids = asking.join_all().await;
    ids.dedup();
    assert_eq!((ids.len(), count(&ada).await), (1, 1));
}

#[tokio::test]
async fn another_request_of_the_same_name_is_refused_and_makes_nothing() {
    let ada = Journal::of_a_new_person().await;
    assert_eq!(
        create(&ada, "k", &draft("2026-11-24", "first"))
            .await
            .status,
        201
    );
    let refused = create(&ada, "k", &draft("2026-11-24", "other")).await;
    assert_eq!(
        refused.problem(),
        (409, "idempotency_key_reused".to_owned())
    );
    assert_eq!(count(&ada).await, 1);
    // Another person's names are their own.
    let bob = Journal::of_a_new_person().await;
    assert_eq!(
        create(&bob, "k", &draft("2026-11-24", "other"))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn what_was_deleted_is_not_made_again() {
    let ada = Journal::of_a_new_person().await;
    let made = create(&ada, "k", &draft("2026-11-24", "first"))
        .await
        .json();
    ada.delete(made["id"].as_str().expect("an id"), None).await;
    let again = create(&ada, "k", &draft("2026-11-24", "first")).await;
    assert_eq!(again.problem(), (409, "entry_gone".to_owned()));
    assert_eq!(count(&ada).await, 0);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_never_overlooked() {
    let ada = Journal::of_a_new_person().await;
    let long = "x".repeat(129);
    for bad in ["", "a b", long.as_str()] {
        let refused = create(&ada, bad, &draft("2026-11-24", "first")).await;
        assert_eq!(
            refused.problem(),
            (400, "invalid_request".to_owned()),
            "{bad:?}"
        );
        assert_eq!(refused.pointers(), ["header:Idempotency-Key"]);
    }
    let request = ada
        .request(Method::POST, "")
        .json(&draft("2026-11-24", "first"));
    let odd = HeaderValue::from_bytes(b"k\xff").expect("a header");
    let refused = sent(request.header("Idempotency-Key", odd)).await;
    assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(count(&ada).await, 0);
}

#[tokio::test]
async fn the_table_tells_neither_the_name_nor_what_was_asked() {
    let ada = Journal::of_a_new_person().await;
    create(&ada, "a-name-to-look-for", &draft("2026-11-24", "first")).await;
    let sql = "SELECT encode(key_hash, 'escape') || encode(request_sealed, 'escape'), octet_length(request_sealed)
               FROM idempotency_keys WHERE user_id = $1";
    let row = database()
        .await
        .query_one(sql, &[&ada.user_id])
        .await
        .expect("one row");
    assert!(!row.get::<_, String>(0).contains("look-for"));
    // One padded step, whatever was written.
    assert_eq!(row.get::<_, i32>(1), 52 + 64 + 16);
}
