//! The journal's tables and its log, read by a thief.

use serde_json::json;
use tokio_postgres::SimpleQueryMessage;
use uuid::Uuid;

use crate::journal::{Journal, database, log};

/// Every row of every table of the person, as text and as the bytes it stands for.
async fn stolen(user: Uuid) -> String {
    let db = database().await;
    let tables = db
        .query(
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name = 'user_id'",
            &[],
        )
        .await
        .expect("the catalog can be read");
    let mut text = String::new();
    for table in tables {
        let table: String = table.get(0);
        let sql = format!("SELECT * FROM {table} WHERE user_id = '{user}'");
        for message in db.simple_query(&sql).await.expect("the table can be read") {
            let SimpleQueryMessage::Row(row) = message else {
                continue;
            };
            for column in 0..row.len() {
                let value = row.get(column).unwrap_or_default();
                text.push_str(value);
                text.push('\n');
                if let Some(bytes) = value.strip_prefix("\\x").and_then(bytes) {
                    text.push_str(&String::from_utf8_lossy(&bytes));
                    text.push('\n');
                }
            }
        }
    }
    assert!(text.contains(&user.to_string()), "something was stolen");
    text
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Pillars, scores, their order, feels and a note of a week that hold those words.
async fn write_everything_else(ada: &Journal, [one, two, three]: &[String; 3], entry: &str) {
    let pillar = json!({"name": one, "icon": "x", "unit": "y", "color": "#00ff00", "target": 7});
    let pillar = ada.post("/pillars", &pillar).await.json();
    let pillar = pillar["id"].as_str().expect("an id").to_owned();
    let other = ada.pillar(two).await;
    let path = format!("/pillars/{pillar}");
    let score = json!({"value": 3, "date": "2026-11-24", "note": three});
    let linked = json!({"date": "2026-11-24", "title": one, "body": two, "pillar_ids": [pillar]});
    for answer in [
        ada.post(&format!("{path}/scores"), &score).await,
        ada.put(&path, &json!({"name": two, "archived": true}), None)
            .await,
        ada.put("/pillars/order", &json!({"ids": [other, pillar]}), None)
            .await,
        ada.replace(entry, &linked, None).await,
        ada.put(
            "/feels/2026-11-24/morning",
            &json!({"mental_state": 3, "strongest_emotion": one, "avoiding": two, "note": three}),
            None,
        )
        .await,
        ada.put(
            "/feels/2026-11-24/evening",
            &json!({"energy_gave": one, "energy_drained": two, "pressure_or_purpose": three}),
            None,
        )
        .await,
        ada.put("/weekly/2026-W48", &json!({"note": one}), None)
            .await,
        ada.get("/weekly/2026-W48").await,
        ada.get("/feels").await,
        ada.get("/pillars").await,
    ] {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    }
    for (path, body) in [
        ("/pillars", json!({"name": [one], "more": two})),
        ("/pillars", json!({"name": one, "color": two})),
    ] {
        assert_eq!(ada.post(path, &body).await.status, 400);
    }
    for path in ["/feels/2026-11-24/morning", "/weekly/2026-W48"] {
        assert_eq!(
            ada.put(path, &json!({"note": [one], "more": two}), None)
                .await
                .status,
            400
        );
    }
}

#[tokio::test]
async fn neither_the_tables_nor_the_log_show_what_was_written() {
    let ada = Journal::of_a_new_person().await;
    let mark = ada.user_id.simple().to_string();
    let words = ["title", "body", "tag"].map(|part| format!("{part}{mark}"));
    let [title, body, tag] = &words;
    let id = ada
        .write(
            &json!({"date": "2026-11-24", "title": title, "body": body, "tags": [tag], "mood": 3}),
        )
        .await;
    let edited =
        json!({"date": "2026-11-24", "title": title, "body": body, "tags": [tag], "mood": 4});
    assert_eq!(ada.replace(&id, &edited, None).await.status, 200);
    assert_eq!(ada.list("").await.status, 200);
    write_everything_else(&ada, &words, &id).await;
    let refused = json!({"date": title, "title": [body], "body": {"k": tag}, "extra": body});
    assert_eq!(ada.create(&refused).await.status, 400);

    let (tables, log) = (stolen(ada.user_id).await, log());
    for word in words.iter().map(String::as_str).chain([
        "mood",
        "completed",
        "tags",
        "target",
        "archived",
        "mental_state",
        "energy",
    ]) {
        assert!(!tables.contains(word), "{word} is in a table");
    }
    for word in words.iter().map(String::as_str).chain([ada.token()]) {
        assert!(!log.contains(word), "{word} is in the log");
    }
    assert!(
        log.contains(&ada.user_id.to_string()),
        "the log names the person by id"
    );
}

#[tokio::test]
async fn a_mood_a_tag_a_finished_entry_and_a_short_title_cannot_be_told_by_size() {
    let ada = Journal::of_a_new_person().await;
    for entry in [
        json!({"date": "2026-11-24", "title": "", "body": "", "mood": 1}),
        json!({"date": "2026-11-24", "title": "Divorce", "body": "Short.", "mood": 10}),
        json!({"date": "2026-11-24", "title": "x".repeat(60), "body": "y".repeat(60)}),
        json!({"date": "2026-11-24", "title": "", "body": "", "tags": ["work", "family"], "completed": true}),
    ] {
        ada.write(&entry).await;
    }
    let sizes = database()
        .await
        .query(
            "SELECT DISTINCT octet_length(title_sealed), octet_length(body_sealed), octet_length(details_sealed)
             FROM entries WHERE user_id = $1",
            &[&ada.user_id],
        )
        .await
        .expect("the table can be read");
    assert_eq!(sizes.len(), 1, "all rows look alike");
}

#[tokio::test]
async fn no_mood_shows_in_the_size_where_tags_fill_a_padding_step_to_the_byte() {
    let ada = Journal::of_a_new_person().await;
    // Other sizes of tags on other days, over a whole step.
    for length in 0..64 {
        let day = format!("2026-{:02}-{:02}", 1 + length / 28, 1 + length % 28);
        let tags = ["x".repeat(64), "y".repeat(1 + length)];
        for (mood, completed) in [(json!(null), true), (json!(9), false), (json!(10), true)] {
            let entry = json!({"date": day, "title": "", "body": "", "tags": tags, "mood": mood, "completed": completed});
            ada.write(&entry).await;
        }
    }
    let sizes = database()
        .await
        .query(
            "SELECT min(octet_length(details_sealed)), max(octet_length(details_sealed)) FROM entries
             WHERE user_id = $1 GROUP BY date",
            &[&ada.user_id],
        )
        .await
        .expect("the table can be read");
    let sizes: Vec<(i32, i32)> = sizes.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut steps: Vec<_> = sizes.iter().map(|(smallest, _)| smallest).collect();
    steps.sort_unstable();
    steps.dedup();
    assert_eq!((sizes.len(), steps.len()), (64, 2), "one edge is crossed");
    for (smallest, largest) in sizes {
        assert_eq!(smallest, largest, "entries of one day look alike");
    }
}
