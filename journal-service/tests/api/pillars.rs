//! `/api/pillars`.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::journal::{Answer, Journal, database, draft, sent};

fn full() -> Value {
    json!({
        "name": "Health",
        "color": "#3fA34d",
        "icon": "🌱",
        "target": 8.25,
        "unit": "hours",
        "archived": false,
    })
}

pub(crate) fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let pillars = answer.json()["pillars"].as_array().cloned();
    let pillars = pillars.expect("pillars");
    let name = |pillar: &Value| pillar["name"].as_str().expect("a name").to_owned();
    pillars.iter().map(name).collect()
}

async fn create(journal: &Journal, key: &str, draft: &Value) -> Answer {
    let request = journal.api(Method::POST, "/pillars").json(draft);
    sent(request.header("Idempotency-Key", key)).await
}

#[tokio::test]
async fn a_pillar_is_read_as_it_was_written() {
    let ada = Journal::of_a_new_person().await;
    let nothing = json!({"pillars": [], "unreadable": [], "order_unreadable": false});
    assert_eq!(ada.get("/pillars").await.json(), nothing);
    let created = ada.post("/pillars", &full()).await;
    assert_eq!(
        (created.status, created.header("etag")),
        (201, Some("\"1\"")),
        "{}",
        created.text
    );
    let pillar = created.json();
    let path = format!("/pillars/{}", pillar["id"].as_str().expect("an id"));
    assert_eq!(
        created.header("location"),
        Some(format!("/api{path}").as_str())
    );
    for (field, value) in full().as_object().expect("an object") {
        assert_eq!(&pillar[field], value, "{field}");
    }
    assert_eq!(
        (&pillar["position"], &pillar["revision"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(pillar["created_at"], pillar["updated_at"]);
    assert_eq!(pillar.get("current"), None);
    let read = ada.get(&path).await;
    assert_eq!(
        (read.json(), read.header("etag")),
        (pillar.clone(), Some("\"1\""))
    );
    assert_eq!(ada.get("/pillars").await.json()["pillars"], json!([pillar]));

    let least = ada.post("/pillars", &json!({"name": "x"})).await.json();
    let mut fields: Vec<_> = least.as_object().expect("an object").keys().collect();
    fields.sort();
    let wanted = [
        "archived",
        "created_at",
        "id",
        "name",
        "position",
        "revision",
        "updated_at",
    ];
    assert_eq!(fields, wanted);
    assert_eq!(least["position"], 1);
}

#[tokio::test]
async fn what_is_out_of_the_limits_or_unknown_is_refused_by_name() {
    let ada = Journal::of_a_new_person().await;
    for (body, pointer) in [
        (json!({}), "#/name"),
        (json!({"name": ""}), "#/name"),
        (json!({"name": "x".repeat(101)}), "#/name"),
        (json!({"name": 7}), "#/name"),
        (json!({"name": "x", "color": "red"}), "#/color"),
        (json!({"name": "x", "color": "#12345g"}), "#/color"),
        (json!({"name": "x", "icon": "x".repeat(33)}), "#/icon"),
        (json!({"name": "x", "unit": ""}), "#/unit"),
        (json!({"name": "x", "target": 1e9 + 1.0}), "#/target"),
        (json!({"name": "x", "target": "much"}), "#/target"),
        (json!({"name": "x", "current": 1}), "#/current"),
        (json!({"name": "x", "position": 1}), "#/position"),
        (json!({"name": "x", "id": "x"}), "#/id"),
    ] {
        let answer = ada.post("/pillars", &body).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    assert_eq!(names(&ada.get("/pillars").await), Vec::<String>::new());
}

#[tokio::test]
async fn numbers_are_kept_to_three_decimals() {
    let ada = Journal::of_a_new_person().await;
    for (sent, kept) in [
        (72.5, 72.5),
        (0.1234, 0.123),
        (-1e9, -1e9),
        (999_999_999.999, 999_999_999.999),
        (0.007, 0.007),
    ] {
        let body = json!({"name": "x", "target": sent});
        let answer = ada.post("/pillars", &body).await.json();
        assert_eq!(answer["target"], json!(kept), "{sent}");
    }
}

#[tokio::test]
async fn an_edit_replaces_everything_counts_the_revision_and_archives() {
    let ada = Journal::of_a_new_person().await;
    let first = ada.post("/pillars", &full()).await.json();
    let path = format!("/pillars/{}", first["id"].as_str().expect("an id"));
    let archived = json!({"name": "Body", "archived": true});
    let edited = ada.put(&path, &archived, Some("\"1\"")).await;
    assert_eq!(
        (edited.status, edited.header("etag")),
        (200, Some("\"2\"")),
        "{}",
        edited.text
    );
    let second = edited.json();
    assert_eq!(
        (&second["name"], &second["archived"]),
        (&json!("Body"), &json!(true))
    );
    assert_eq!(second.get("color"), None);
    assert_eq!(second["created_at"], first["created_at"]);
    assert_eq!(ada.get(&path).await.json(), second);
    // The answer was lost: the same again is no conflict, and no edit.
    let again = ada.put(&path, &archived, Some("\"1\"")).await;
    assert_eq!((again.status, again.json()), (200, second));
    for stale in ["\"1\"", "\"3\"", "W/\"2\""] {
        let refused = ada.put(&path, &full(), Some(stale)).await;
        assert_eq!(
            refused.problem(),
            (412, "revision_conflict".to_owned()),
            "{stale}"
        );
        assert_eq!(refused.header("etag"), Some("\"2\""));
    }
    let malformed = ada.put(&path, &full(), Some("2")).await;
    assert_eq!(malformed.pointers(), ["header:If-Match"]);
    assert_eq!(
        ada.put(&path, &full(), Some("*")).await.header("etag"),
        Some("\"3\"")
    );
}

#[tokio::test]
async fn of_many_edits_of_one_revision_exactly_one_wins() {
    let ada = Journal::of_a_new_person().await;
    let path = format!("/pillars/{}", ada.pillar("first").await);
    let mut edits = JoinSet::new();
    for number in 0..20 {
        let (ada, path) = (ada.clone(), path.clone());
        edits.spawn(async move {
            let name = format!("edit {number}");
            let answer = ada
                .put(&path, &json!({ "name": name }), Some("\"1\""))
                .await;
            (answer.status, name)
        });
    }
    let answers = edits.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 200)
        .collect();
    let refused = answers.iter().filter(|(status, _)| *status == 412).count();
    assert_eq!((winners.len(), refused), (1, 19), "{answers:?}");
    let stored = ada.get(&path).await.json();
    assert_eq!(
        (&stored["name"], &stored["revision"]),
        (&json!(winners[0].1), &json!(2))
    );
}

#[tokio::test]
async fn archived_pillars_are_listed_too_or_alone_or_not_at_all() {
    let ada = Journal::of_a_new_person().await;
    for (name, archived) in [("a", false), ("b", true), ("c", false)] {
        let body = json!({"name": name, "archived": archived});
        assert_eq!(ada.post("/pillars", &body).await.status, 201);
    }
    assert_eq!(names(&ada.get("/pillars").await), ["a", "b", "c"]);
    assert_eq!(names(&ada.get("/pillars?archived=true").await), ["b"]);
    let shown = ada.get("/pillars?archived=false").await;
    assert_eq!(names(&shown), ["a", "c"]);
    // Its place is among all of them.
    assert_eq!(shown.json()["pillars"][1]["position"], 2);
    assert_eq!(
        ada.get("/pillars?archived=perhaps").await.pointers(),
        ["query:archived"]
    );
}

#[tokio::test]
async fn a_deleted_pillar_is_gone_with_its_scores() {
    let ada = Journal::of_a_new_person().await;
    let path = format!("/pillars/{}", ada.pillar("x").await);
    let scores = format!("{path}/scores");
    let score = json!({"value": 7, "date": "2026-11-24"});
    assert_eq!(ada.post(&scores, &score).await.status, 201);
    let stale = ada.remove(&path, Some("\"2\"")).await;
    assert_eq!(stale.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(stale.header("etag"), Some("\"1\""));
    assert_eq!(ada.remove(&path, Some("\"1\"")).await.status, 204);
    let gone = (404, "pillar_not_found".to_owned());
    for answer in [
        ada.get(&path).await,
        ada.remove(&path, None).await,
        ada.put(&path, &full(), None).await,
        ada.get(&scores).await,
        ada.post(&scores, &score).await,
    ] {
        assert_eq!(answer.problem(), gone);
    }
    let sql = "SELECT count(*) FROM pillar_scores WHERE user_id = $1";
    let left = database().await.query_one(sql, &[&ada.user_id]).await;
    assert_eq!(left.expect("a number").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_person_has_two_hundred_pillars_at_most_however_many_are_made_at_once() {
    let ada = Journal::of_a_new_person().await;
    for number in 0..190 {
        ada.pillar(&format!("pillar {number}")).await;
    }
    let mut making = JoinSet::new();
    for number in 0..30 {
        let ada = ada.clone();
        making.spawn(async move {
            let body = json!({ "name": format!("late {number}") });
            let answer = ada.post("/pillars", &body).await;
            assert!(
                answer.status == 201 || answer.problem() == (409, "too_many_pillars".to_owned())
            );
            answer.status
        });
    }
    let made = making.join_all().await;
    assert_eq!(made.iter().filter(|status| **status == 201).count(), 10);
    let listed = ada.get("/pillars").await.json();
    let pillars = listed["pillars"].as_array().expect("pillars").clone();
    let positions: Vec<_> = pillars
        .iter()
        .filter_map(|pillar| pillar["position"].as_u64())
        .collect();
    assert_eq!(positions, (0..200).collect::<Vec<_>>());
    let id = pillars[0]["id"].as_str().expect("an id");
    assert_eq!(
        ada.remove(&format!("/pillars/{id}"), None).await.status,
        204
    );
    ada.pillar("once more").await;
}

#[tokio::test]
async fn a_request_that_is_repeated_makes_one_pillar_also_at_once() {
    let ada = Journal::of_a_new_person().await;
    let mut making = JoinSet::new();
    for _ in 0..20 {
        let ada = ada.clone();
        making.spawn(async move {
            let answer = create(&ada, "monday", &full()).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
            answer.text
        });
    }
    let mut answers = making.join_all().await;
    answers.dedup();
    assert_eq!(answers.len(), 1, "the same answer each time");
    let first: Value = serde_json::from_str(&answers[0]).expect("JSON");
    let path = format!("/pillars/{}", first["id"].as_str().expect("an id"));
    // Somebody has gone on meanwhile.
    assert_eq!(
        ada.put(&path, &json!({"name": "later"}), None).await.status,
        200
    );
    let again = create(&ada, "monday", &full()).await;
    assert_eq!((again.status, again.json()), (201, first));
    assert_eq!(
        (again.header("etag"), again.header("location")),
        (Some("\"1\""), Some(format!("/api{path}").as_str()))
    );
    assert_eq!(names(&ada.get("/pillars").await), ["later"]);

    let taken = (409, "idempotency_key_reused".to_owned());
    let other = create(&ada, "monday", &json!({"name": "other"})).await;
    assert_eq!(other.problem(), taken);
    // An entry and a pillar do not share a name.
    let request = ada
        .request(Method::POST, "")
        .json(&draft("2026-11-24", "entry"));
    let entry = sent(request.header("Idempotency-Key", "monday")).await;
    assert_eq!(entry.problem(), taken);
    assert_eq!(ada.remove(&path, None).await.status, 204);
    let gone = create(&ada, "monday", &full()).await;
    assert_eq!(gone.problem(), (409, "pillar_gone".to_owned()));
    let refused = create(&ada, "a b", &full()).await;
    assert_eq!(refused.pointers(), ["header:Idempotency-Key"]);
}
