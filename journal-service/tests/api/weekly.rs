//! `/api/weekly`.

use serde_json::{Value, json};

use crate::journal::{Answer, Journal, database};

const WEEK: &str = "/weekly/2026-W48";

async fn entry(journal: &Journal, date: &str, more: Value) {
    let mut draft = json!({"date": date, "title": "t", "body": "b"});
    for (field, value) in more.as_object().expect("an object") {
        draft[field] = value.clone();
    }
    journal.write(&draft).await;
}

async fn put(journal: &Journal, path: &str, body: Value) {
    let answer = journal.put(path, &body, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn recap(journal: &Journal) -> Value {
    let answer = journal.get(WEEK).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn scale(number: u32) -> Value {
    json!({ "number": number })
}

fn day(date: &str) -> Value {
    json!({"date": date, "entries": 0, "completed": 0, "moods": scale(0), "morning": false, "evening": false})
}

#[tokio::test]
async fn a_week_without_anything_is_all_zeros() {
    let ada = Journal::of_a_new_person().await;
    let days: Vec<_> = (23..=29)
        .map(|date| day(&format!("2026-11-{date}")))
        .collect();
    let nothing = json!({
        "iso_week": "2026-W48", "from": "2026-11-23", "to": "2026-11-29",
        "entries": 0, "completed": 0, "written_days": 0, "streak": 0,
        "moods": scale(0), "mental_states": scale(0),
        "days": days, "pillars": [], "tags": [], "unreadable": 0,
    });
    assert_eq!(recap(&ada).await, nothing);
    // Other weeks do not count, and neither does another person.
    entry(&ada, "2026-11-22", json!({"mood": 3})).await;
    entry(&ada, "2026-11-30", json!({"mood": 3})).await;
    let bob = Journal::of_a_new_person().await;
    entry(&bob, "2026-11-24", json!({"mood": 3})).await;
    let answer = ada.get(WEEK).await;
    assert_eq!(
        (answer.json(), answer.header("etag")),
        (nothing, Some("\"0\""))
    );
}

#[tokio::test]
async fn a_week_counts_entries_moods_tags_feels_and_days() {
    let ada = Journal::of_a_new_person().await;
    entry(
        &ada,
        "2026-11-23",
        json!({"mood": 4, "completed": true, "tags": ["river", "home"]}),
    )
    .await;
    entry(&ada, "2026-11-23", json!({"mood": 9, "tags": ["river"]})).await;
    entry(&ada, "2026-11-25", json!({"tags": ["work"]})).await;
    entry(&ada, "2026-11-29", json!({"mood": 6, "completed": true})).await;
    put(
        &ada,
        "/feels/2026-11-24/morning",
        json!({"mental_state": 5}),
    )
    .await;
    put(
        &ada,
        "/feels/2026-11-25/morning",
        json!({"mental_state": 8}),
    )
    .await;
    put(&ada, "/feels/2026-11-25/evening", json!({"note": "x"})).await;
    let recap = recap(&ada).await;
    for (field, value) in [
        ("entries", 4),
        ("completed", 2),
        ("written_days", 4),
        ("streak", 1),
        ("unreadable", 0),
    ] {
        assert_eq!(recap[field], value, "{field}");
    }
    let moods = json!({"number": 3, "average": 6.33, "lowest": 4, "highest": 9});
    assert_eq!(recap["moods"], moods);
    let states = json!({"number": 2, "average": 6.5, "lowest": 5, "highest": 8});
    assert_eq!(recap["mental_states"], states);
    let tags = json!([{"tag": "river", "entries": 2}, {"tag": "home", "entries": 1}, {"tag": "work", "entries": 1}]);
    assert_eq!(recap["tags"], tags);
    let monday = json!({
        "date": "2026-11-23", "entries": 2, "completed": 1, "morning": false, "evening": false,
        "moods": {"number": 2, "average": 6.5, "lowest": 4, "highest": 9},
    });
    let wednesday = json!({
        "date": "2026-11-25", "entries": 1, "completed": 0, "morning": true, "evening": true, "moods": scale(0),
    });
    assert_eq!(
        (&recap["days"][0], &recap["days"][2]),
        (&monday, &wednesday)
    );
    assert_eq!(recap["days"][1]["morning"], true);
    assert_eq!(recap["days"][3], day("2026-11-26"));
}

#[tokio::test]
async fn a_week_tells_how_each_pillar_went() {
    let ada = Journal::of_a_new_person().await;
    let (health, friends) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    ada.pillar("without a score").await;
    for (pillar, value, date) in [
        (&health, 0.3, "2026-11-25"),
        (&health, 0.1, "2026-11-23"),
        (&health, 9.0, "2026-11-22"),
        (&health, 7.0, "2026-11-24"),
        (&friends, 5.0, "2026-11-29"),
        (&friends, 4.5, "2026-11-29"),
        (&friends, 1.0, "2026-11-30"),
    ] {
        let body = json!({"value": value, "date": date});
        let answer = ada.post(&format!("/pillars/{pillar}/scores"), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let pillars = json!([
        {"pillar_id": health, "scores": 3, "first": 0.1, "last": 0.3, "change": 0.2},
        {"pillar_id": friends, "scores": 2, "first": 5.0, "last": 4.5, "change": -0.5},
    ]);
    assert_eq!(recap(&ada).await["pillars"], pillars);
    assert_eq!(
        ada.remove(&format!("/pillars/{health}"), None).await.status,
        204
    );
    assert_eq!(recap(&ada).await["pillars"], json!([pillars[1]]));
}

#[tokio::test]
async fn a_streak_reaches_back_over_weeks_and_ends_with_the_last_day_that_was_written_on() {
    let ada = Journal::of_a_new_person().await;
    for date in ["2026-11-19", "2026-11-21", "2026-11-22", "2026-11-24"] {
        entry(&ada, date, json!({})).await;
    }
    put(&ada, "/feels/2026-11-23/evening", json!({})).await;
    assert_eq!(recap(&ada).await["streak"], 4);
    let before = ada.get("/weekly/2026-W47").await.json();
    assert_eq!(
        (&before["streak"], &before["written_days"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(ada.get("/weekly/2026-W49").await.json()["streak"], 0);
}

#[tokio::test]
async fn a_week_of_more_entries_than_are_opened_at_once_is_counted_whole() {
    let ada = Journal::of_a_new_person().await;
    entry(&ada, "2026-11-24", json!({"mood": 5})).await;
    let copies = "INSERT INTO entries SELECT user_id, gen_random_uuid(), date, revision, created_at, updated_at,
                      title_sealed, body_sealed, details_sealed
                  FROM entries, generate_series(1, 1200) WHERE user_id = $1";
    let made = database().await.execute(copies, &[&ada.user_id]).await;
    assert_eq!(made.ok(), Some(1200));
    let recap = recap(&ada).await;
    // Copies do not open: they are told, each of them, and not counted.
    assert_eq!(
        (&recap["entries"], &recap["unreadable"]),
        (&json!(1), &json!(1200))
    );
}

#[tokio::test]
async fn weeks_are_those_of_iso_8601() {
    let ada = Journal::of_a_new_person().await;
    for (week, from, to) in [
        ("2026-W53", "2026-12-28", "2027-01-03"),
        ("2027-W01", "2027-01-04", "2027-01-10"),
        ("2020-W53", "2020-12-28", "2021-01-03"),
        ("0001-W01", "0001-01-01", "0001-01-07"),
        ("9999-W52", "9999-12-27", "9999-12-31"),
    ] {
        let recap = ada.get(&format!("/weekly/{week}")).await.json();
        assert_eq!(
            (&recap["from"], &recap["to"]),
            (&json!(from), &json!(to)),
            "{week}"
        );
        assert_eq!(recap["iso_week"], week);
    }
    for wrong in [
        "2025-W53", "2026-W54", "2026-W00", "2026-W1", "0000-W01", "2026-48", "now", "%00",
        "2026-w48",
    ] {
        let path = format!("/weekly/{wrong}");
        for answer in [
            ada.get(&path).await,
            ada.put(&path, &json!({"note": "x"}), None).await,
            ada.remove(&path, None).await,
        ] {
            assert_eq!(
                answer.problem(),
                (400, "invalid_request".to_owned()),
                "{wrong}"
            );
            assert_eq!(answer.pointers(), ["path:iso_week"], "{wrong}");
        }
    }
}

#[tokio::test]
async fn a_week_has_one_note_that_is_replaced_and_deleted_by_revision() {
    let ada = Journal::of_a_new_person().await;
    let note = json!({"note": " Less screen,\nmore river. \u{202e}"});
    let etag = |answer: &Answer| answer.header("etag").map(str::to_owned);
    let written = ada.put(WEEK, &note, Some("\"0\"")).await;
    assert_eq!(
        (written.status, etag(&written)),
        (200, Some("\"1\"".to_owned())),
        "{}",
        written.text
    );
    assert_eq!(written.json()["note"], note["note"]);
    let read = ada.get(WEEK).await;
    assert_eq!(
        (&read.json()["note"], etag(&read)),
        (&written.json(), Some("\"1\"".to_owned()))
    );
    assert_eq!(read.json()["written_days"], 0, "a note is about no day");
    let again = ada.put(WEEK, &note, Some("\"0\"")).await;
    assert_eq!((again.status, again.json()), (200, written.json()));
    let other = json!({"note": ""});
    let refused = ada.put(WEEK, &other, Some("\"0\"")).await;
    assert_eq!(
        (refused.problem(), etag(&refused)),
        (
            (412, "revision_conflict".to_owned()),
            Some("\"1\"".to_owned())
        )
    );
    let edited = ada.put(WEEK, &other, Some("\"1\"")).await;
    assert_eq!(
        (&edited.json()["note"], &edited.json()["revision"]),
        (&json!(""), &json!(2))
    );
    for wrong in [
        json!({}),
        json!({"note": "x".repeat(5001)}),
        json!({"note": null}),
        json!({"note": "x", "more": 1}),
    ] {
        assert_eq!(
            ada.put(WEEK, &wrong, None).await.problem(),
            (400, "invalid_request".to_owned())
        );
    }
    assert_eq!(ada.get("/weekly/2026-W47").await.json().get("note"), None);
    assert_eq!(
        ada.remove(WEEK, Some("\"1\"")).await.problem(),
        (412, "revision_conflict".to_owned())
    );
    assert_eq!(ada.remove(WEEK, Some("\"2\"")).await.status, 204);
    assert_eq!(
        ada.remove(WEEK, None).await.problem(),
        (404, "reflection_not_found".to_owned())
    );
    assert_eq!(recap(&ada).await.get("note"), None);
}
