//! `/api/pillars/{id}/scores`.

use serde_json::{Value, json};

use crate::journal::{Answer, Journal};

async fn add(journal: &Journal, pillar: &str, value: f64, date: &str) -> Value {
    let body = json!({"value": value, "date": date});
    let answer = journal
        .post(&format!("/pillars/{pillar}/scores"), &body)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

async fn current(journal: &Journal, pillar: &str) -> Option<f64> {
    let one = journal.get(&format!("/pillars/{pillar}")).await.json();
    let all = journal.get("/pillars").await.json();
    let pillars = all["pillars"].as_array().cloned().expect("pillars");
    let listed = pillars.iter().find(|it| it["id"] == pillar);
    let listed = listed.expect("it is listed").get("current").cloned();
    assert_eq!(one.get("current"), listed.as_ref());
    one["current"].as_f64()
}

fn values(answer: &Answer) -> Vec<f64> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let scores = answer.json()["scores"].as_array().cloned();
    let scores = scores.expect("scores");
    scores
        .iter()
        .filter_map(|score| score["value"].as_f64())
        .collect()
}

#[tokio::test]
async fn the_score_of_the_latest_day_and_of_several_the_last_one_is_current() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("Health").await;
    assert_eq!(current(&ada, &pillar).await, None);
    add(&ada, &pillar, 5.5, "2026-11-23").await;
    assert_eq!(current(&ada, &pillar).await, Some(5.5));
    add(&ada, &pillar, 7.0, "2026-11-24").await;
    let last = add(&ada, &pillar, 8.125, "2026-11-24").await;
    // An older day that was added later is history.
    add(&ada, &pillar, 1.0, "2026-11-20").await;
    assert_eq!(current(&ada, &pillar).await, Some(8.125));
    let path = format!("/pillars/{pillar}");
    assert_eq!(
        ada.get(&path).await.header("etag"),
        Some("\"1\""),
        "no edit"
    );
    let edited = ada
        .put(&path, &json!({"name": "Body"}), Some("\"1\""))
        .await;
    assert_eq!(edited.json()["current"], 8.125);

    let scores = format!("{path}/scores");
    let listed = ada.get(&scores).await;
    assert_eq!(values(&listed), [8.125, 7.0, 5.5, 1.0]);
    assert_eq!(listed.json()["scores"][0], last);
    let id = last["id"].as_str().expect("an id");
    assert_eq!(
        ada.remove(&format!("{scores}/{id}"), None).await.status,
        204
    );
    assert_eq!(current(&ada, &pillar).await, Some(7.0));
    let again = ada.remove(&format!("{scores}/{id}"), None).await;
    assert_eq!(again.problem(), (404, "score_not_found".to_owned()));
}

#[tokio::test]
async fn scores_are_read_page_by_page_and_their_cursors_are_for_one_pillar_of_one_person() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let (pillar, other) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    for value in 1..=7 {
        add(&ada, &pillar, f64::from(value), "2026-11-24").await;
        add(&ada, &other, 0.0, "2026-11-24").await;
    }
    let scores = format!("/pillars/{pillar}/scores");
    for limit in 1..=8_usize {
        let (mut all, mut query) = (Vec::new(), format!("?limit={limit}"));
        loop {
            let page = ada.get(&format!("{scores}{query}")).await;
            assert!(values(&page).len() <= limit);
            all.extend(values(&page));
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else {
                break;
            };
            query = format!("?limit={limit}&after={next}");
        }
        assert_eq!(all, [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], "{limit}");
    }
    let page = ada.get(&format!("{scores}?limit=2")).await.json();
    let cursor = page["next"].as_str().expect("there is more");
    let bobs = bob.pillar("Bob's").await;
    for answer in [
        ada.get(&format!("/pillars/{other}/scores?after={cursor}"))
            .await,
        bob.get(&format!("/pillars/{bobs}/scores?after={cursor}"))
            .await,
        ada.get(&format!("{scores}?after=AAAA")).await,
        ada.list(&format!("?after={cursor}")).await,
    ] {
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
        assert_eq!(answer.pointers(), ["query:after"]);
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_score_is_named() {
    let ada = Journal::of_a_new_person().await;
    let scores = format!("/pillars/{}/scores", ada.pillar("Health").await);
    for (body, pointer) in [
        (json!({"date": "2026-11-24"}), "#/value"),
        (json!({"value": 1}), "#/date"),
        (json!({"value": 1e10, "date": "2026-11-24"}), "#/value"),
        (json!({"value": 1, "date": "2026-02-30"}), "#/date"),
        (json!({"value": 1, "date": "0000-12-31"}), "#/date"),
        (
            json!({"value": 1, "date": "2026-11-24", "note": "x".repeat(1001)}),
            "#/note",
        ),
        (
            json!({"value": 1, "date": "2026-11-24", "more": 1}),
            "#/more",
        ),
    ] {
        let answer = ada.post(&scores, &body).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let body = json!({"value": -0.5, "date": "9999-12-31", "note": " \u{202e}\n\u{0}é "});
    let score = ada.post(&scores, &body).await;
    assert_eq!((score.status, &score.json()["note"]), (201, &body["note"]));
}
