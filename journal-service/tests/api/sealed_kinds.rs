//! Pillars, scores and reflections as somebody with the database's password finds them, and changes them.

use serde_json::{Value, json};

use crate::journal::{Answer, Journal, database, log};

const MORNING: &str = "/feels/2026-11-24/morning";
const WEEK: &str = "/weekly/2026-W48";

async fn put(journal: &Journal, path: &str, body: Value) {
    let answer = journal.put(path, &body, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn score(journal: &Journal, pillar: &str, value: f64) -> String {
    let body = json!({"value": value, "date": "2026-11-24", "note": "secret"});
    let answer = journal
        .post(&format!("/pillars/{pillar}/scores"), &body)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// Changes exactly one row.
async fn attack(sql: &str) {
    let changed = database().await.execute(sql, &[]).await;
    assert_eq!(changed.expect("the attack is valid SQL"), 1, "{sql}");
}

fn assert_unreadable(answer: &Answer, code: &str) {
    assert_eq!(answer.problem(), (409, code.to_owned()), "{}", answer.text);
    for text in ["secret", "tampered", "commitment", "envelope", "wrong key"] {
        assert!(!answer.text.contains(text), "{}", answer.text);
    }
}

/// Whether the log has an error with this person and that value of that field.
fn logged(journal: &Journal, field: &str, value: &str) -> bool {
    let user = journal.user_id.to_string();
    log()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .any(|line| {
            line["level"] == "ERROR" && line["user.id"] == user.as_str() && line[field] == value
        })
}

async fn sizes(journal: &Journal, table: &str) -> usize {
    let sql =
        format!("SELECT DISTINCT octet_length(content_sealed) FROM {table} WHERE user_id = $1");
    let rows = database().await.query(&sql, &[&journal.user_id]).await;
    rows.expect("the table can be read").len()
}

#[tokio::test]
async fn what_is_small_cannot_be_told_by_size() {
    let ada = Journal::of_a_new_person().await;
    let mut pillar = String::new();
    for body in [
        json!({"name": "F"}),
        json!({"name": "Recovery and therapy", "archived": true}),
        json!({"name": "Health", "color": "#ff0000", "icon": "🌱", "target": -1e9, "unit": "hours"}),
    ] {
        let made = ada.post("/pillars", &body).await.json();
        pillar = made["id"].as_str().expect("an id").to_owned();
    }
    for value in [1.0, 10.0, -1e9] {
        score(&ada, &pillar, value).await;
    }
    for (day, body) in [
        ("2026-11-01", json!({})),
        (
            "2026-11-02",
            json!({"mental_state": 1, "strongest_emotion": "joy"}),
        ),
        (
            "2026-11-03",
            json!({"mental_state": 10, "strongest_emotion": "grief", "avoiding": "everything"}),
        ),
    ] {
        put(&ada, &format!("/feels/{day}/morning"), body).await;
    }
    put(&ada, "/feels/2026-11-01/evening", json!({})).await;
    let evening = json!({"energy_gave": "the children", "energy_drained": "my boss"});
    put(&ada, "/feels/2026-11-02/evening", evening).await;
    put(&ada, "/weekly/2026-W44", json!({"note": "No."})).await;
    let week = "I told her that I am leaving, and slept for the first time.";
    put(&ada, "/weekly/2026-W45", json!({"note": week})).await;
    for table in ["pillars", "pillar_scores", "reflections"] {
        assert_eq!(
            sizes(&ada, table).await,
            1,
            "all rows of {table} look alike"
        );
    }
}

#[tokio::test]
async fn a_changed_pillar_is_refused_told_and_can_be_deleted() {
    let ada = Journal::of_a_new_person().await;
    let untouched = ada.pillar("untouched").await;
    for change in [
        "content_sealed = set_bit(content_sealed, 8, 1 - get_bit(content_sealed, 8))",
        "content_sealed = set_bit(content_sealed, 500, 1 - get_bit(content_sealed, 500))",
        "content_sealed = ''",
        "created_at = created_at - interval '1 microsecond'",
        "updated_at = updated_at + interval '1 day'",
        "revision = revision + 1",
        "content_sealed = (SELECT content_sealed FROM pillars WHERE pillar_id = 'OTHER')",
        "pillar_id = gen_random_uuid()",
    ] {
        let mut id = ada.pillar("secret").await;
        let change = change.replace("OTHER", &untouched);
        attack(&format!(
            "UPDATE pillars SET {change} WHERE pillar_id = '{id}'"
        ))
        .await;
        if change.starts_with("pillar_id") {
            let sql =
                "SELECT pillar_id::text FROM pillars WHERE user_id = $1 AND pillar_id::text <> $2";
            let row = database()
                .await
                .query_one(sql, &[&ada.user_id, &untouched])
                .await;
            id = row.expect("the row is there").get(0);
        }
        let path = format!("/pillars/{id}");
        assert_unreadable(&ada.get(&path).await, "pillar_unreadable");
        assert_unreadable(
            &ada.put(&path, &json!({"name": "x"}), None).await,
            "pillar_unreadable",
        );
        let page = ada.get("/pillars").await.json();
        assert_eq!(page["pillars"][0]["id"], untouched.as_str(), "{change}");
        assert_eq!(page["pillars"].as_array().map(Vec::len), Some(1));
        assert_eq!(page["unreadable"][0]["id"], id.as_str());
        assert!(logged(&ada, "pillar.id", &id), "{change}");
        assert_eq!(ada.remove(&path, None).await.status, 204);
    }
    assert_eq!(ada.get("/pillars").await.json()["unreadable"], json!([]));
}

#[tokio::test]
async fn a_changed_score_is_told_and_never_shown_or_counted() {
    let ada = Journal::of_a_new_person().await;
    let (pillar, other) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    let first = score(&ada, &pillar, 5.0).await;
    let path = format!("/pillars/{pillar}");
    for change in [
        "content_sealed = set_bit(content_sealed, 500, 1 - get_bit(content_sealed, 500))",
        "date = date + 1",
        "created_at = created_at + interval '1 microsecond'",
        "content_sealed = (SELECT content_sealed FROM pillar_scores WHERE score_id = 'OTHER')",
    ] {
        let id = score(&ada, &pillar, 9.0).await;
        let change = change.replace("OTHER", &first);
        attack(&format!(
            "UPDATE pillar_scores SET {change} WHERE score_id = '{id}'"
        ))
        .await;
        // Nobody knows how it stands.
        assert_unreadable(&ada.get(&path).await, "pillar_unreadable");
        let page = ada.get(&format!("{path}/scores")).await.json();
        assert_eq!(page["scores"].as_array().map(Vec::len), Some(1), "{change}");
        assert_eq!(page["unreadable"][0]["id"], id.as_str());
        let week = ada.get(WEEK).await.json();
        assert_eq!(
            (&week["unreadable"], &week["pillars"][0]["scores"]),
            (&json!(1), &json!(1))
        );
        assert!(logged(&ada, "score.id", &id), "{change}");
        assert_eq!(
            ada.remove(&format!("{path}/scores/{id}"), None)
                .await
                .status,
            204
        );
        assert_eq!(ada.get(&path).await.json()["current"], 5.0);
    }
    // A whole row, moved to another pillar of the same person.
    attack(&format!(
        "UPDATE pillar_scores SET pillar_id = '{other}' WHERE score_id = '{first}'"
    ))
    .await;
    assert_unreadable(
        &ada.get(&format!("/pillars/{other}")).await,
        "pillar_unreadable",
    );
    assert_eq!(ada.get(&path).await.json().get("current"), None);
}

#[tokio::test]
async fn a_changed_reflection_is_refused_told_and_can_be_deleted() {
    let ada = Journal::of_a_new_person().await;
    for change in [
        "content_sealed = set_bit(content_sealed, 500, 1 - get_bit(content_sealed, 500))",
        "created_at = created_at - interval '1 microsecond'",
        "updated_at = updated_at + interval '1 day'",
        "revision = revision + 1",
        "kind = 'evening'",
        "date = date - 1",
    ] {
        put(&ada, MORNING, json!({"note": "secret"})).await;
        let (set, rows) = (
            format!("UPDATE reflections SET {change}"),
            format!("user_id = '{}'", ada.user_id),
        );
        attack(&format!("{set} WHERE {rows}")).await;
        let path = match change {
            "kind = 'evening'" => "/feels/2026-11-24/evening",
            "date = date - 1" => "/feels/2026-11-23/morning",
            _ => MORNING,
        };
        assert_unreadable(&ada.get(path).await, "reflection_unreadable");
        let edited = ada.put(path, &json!({}), None).await;
        assert_unreadable(&edited, "reflection_unreadable");
        let page = ada.get("/feels").await.json();
        assert_eq!(
            (&page["days"], page["unreadable"].as_array().map(Vec::len)),
            (&json!([]), Some(1)),
            "{change}"
        );
        let week = ada.get(WEEK).await.json();
        assert_eq!(week["unreadable"], 1, "{change}");
        let kind = path.rsplit('/').next().expect("a part");
        assert!(logged(&ada, "kind", kind), "{change}");
        assert_eq!(ada.remove(path, None).await.status, 204);
    }
    put(&ada, WEEK, json!({"note": "secret"})).await;
    attack(&format!(
        "UPDATE reflections SET date = date + 7 WHERE user_id = '{}'",
        ada.user_id
    ))
    .await;
    assert_eq!(ada.get(WEEK).await.json().get("note"), None);
    let moved = ada.get("/weekly/2026-W49").await.json();
    assert_eq!((moved.get("note"), &moved["unreadable"]), (None, &json!(1)));
    assert_unreadable(
        &ada.put("/weekly/2026-W49", &json!({"note": "x"}), None)
            .await,
        "reflection_unreadable",
    );
    assert_eq!(ada.remove("/weekly/2026-W49", None).await.status, 204);
    let left = "SELECT count(*) FROM reflections WHERE user_id = $1";
    let left = database().await.query_one(left, &[&ada.user_id]).await;
    assert_eq!(left.expect("a number").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn rows_of_another_person_do_not_open() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let mut pillars = Vec::new();
    for person in [&ada, &bob] {
        let pillar = person.pillar("secret").await;
        score(person, &pillar, 5.0).await;
        put(person, MORNING, json!({"note": "secret"})).await;
        put(person, WEEK, json!({"note": "secret"})).await;
        pillars.push(pillar);
    }
    let (adas, bobs) = (ada.user_id, bob.user_id);
    for (table, key) in [
        ("pillars", "true"),
        ("pillar_scores", "true"),
        ("reflections", "source.kind = target.kind"),
    ] {
        let times = if table == "pillar_scores" {
            ""
        } else {
            ", updated_at = source.updated_at"
        };
        let sql = format!(
            "UPDATE {table} AS target SET content_sealed = source.content_sealed, created_at = source.created_at {times}
             FROM {table} AS source WHERE source.user_id = '{adas}' AND target.user_id = '{bobs}' AND {key}"
        );
        let changed = database().await.execute(&sql, &[]).await;
        assert!(changed.expect("the attack is valid SQL") > 0, "{table}");
    }
    assert_unreadable(
        &bob.get(&format!("/pillars/{}", pillars[1])).await,
        "pillar_unreadable",
    );
    let scores = bob
        .get(&format!("/pillars/{}/scores", pillars[1]))
        .await
        .json();
    assert_eq!(
        (
            &scores["scores"],
            scores["unreadable"].as_array().map(Vec::len)
        ),
        (&json!([]), Some(1))
    );
    assert_unreadable(&bob.get(MORNING).await, "reflection_unreadable");
    assert_eq!(
        bob.get(WEEK).await.json()["unreadable"],
        3,
        "the feel, the note, the score"
    );
    assert_eq!(ada.get(MORNING).await.json()["note"], "secret");
    assert_eq!(ada.get(WEEK).await.json()["unreadable"], 0);
}

#[tokio::test]
async fn a_key_that_does_not_open_is_told_by_every_operation_that_needs_it() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("secret").await;
    score(&ada, &pillar, 5.0).await;
    put(&ada, MORNING, json!({"note": "secret"})).await;
    let flip = format!(
        "UPDATE data_keys SET wrapped_key = set_bit(wrapped_key, 600, 1 - get_bit(wrapped_key, 600)) WHERE user_id = '{}'",
        ada.user_id
    );
    attack(&flip).await;
    let (path, name) = (format!("/pillars/{pillar}"), json!({"name": "x"}));
    let scores = format!("{path}/scores");
    for answer in [
        ada.get("/pillars").await,
        ada.post("/pillars", &name).await,
        ada.get(&path).await,
        ada.put(&path, &name, None).await,
        ada.put("/pillars/order", &json!({"ids": [pillar]}), None)
            .await,
        ada.get(&scores).await,
        ada.post(&scores, &json!({"value": 1, "date": "2026-11-24"}))
            .await,
        ada.get("/feels").await,
        ada.get(MORNING).await,
        ada.put(MORNING, &json!({}), None).await,
        ada.get(WEEK).await,
        ada.put(WEEK, &json!({"note": "x"}), None).await,
    ] {
        assert_unreadable(&answer, "journal_unreadable");
    }
    attack(&flip).await;
    assert_eq!(ada.get(&path).await.json()["current"], 5.0);
}
