//! `/api/feels`.

use reqwest::{Method, header::HeaderValue};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::journal::{Answer, Journal, database, sent};

const MORNING: &str = "/feels/2026-11-24/morning";
const EVENING: &str = "/feels/2026-11-24/evening";

fn morning() -> Value {
    json!({"mental_state": 7, "strongest_emotion": "calm", "avoiding": "a letter", "note": " Slept.\n"})
}

fn evening() -> Value {
    json!({"energy_gave": "a walk", "energy_drained": "meetings", "pressure_or_purpose": "purpose", "note": ""})
}

/// The days of a page, with the parts that each has.
fn days(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let days = answer.json()["days"].as_array().cloned();
    let shown = |day: &Value| {
        let part = |name: &str| day.get(name).map_or("", |_| name).to_owned();
        let date = day["date"].as_str().expect("a day").to_owned();
        format!("{date} {}{}", part("morning"), part("evening"))
    };
    days.expect("days").iter().map(shown).collect()
}

#[tokio::test]
async fn both_parts_of_a_day_are_read_as_they_were_written() {
    let ada = Journal::of_a_new_person().await;
    for (path, draft) in [(MORNING, morning()), (EVENING, evening())] {
        let missing = ada.get(path).await;
        assert_eq!(missing.problem(), (404, "reflection_not_found".to_owned()));
        let written = ada.put(path, &draft, None).await;
        assert_eq!(
            (written.status, written.header("etag")),
            (200, Some("\"1\"")),
            "{}",
            written.text
        );
        let feel = written.json();
        for (field, value) in draft.as_object().expect("an object") {
            assert_eq!(&feel[field], value, "{field}");
        }
        assert_eq!(
            (&feel["date"], &feel["revision"]),
            (&json!("2026-11-24"), &json!(1))
        );
        let read = ada.get(path).await;
        assert_eq!((read.json(), read.header("etag")), (feel, Some("\"1\"")));
    }
    let page = ada.get("/feels").await;
    assert_eq!(days(&page), ["2026-11-24 morningevening"]);
    let day = &page.json()["days"][0];
    assert_eq!(day["morning"], ada.get(MORNING).await.json());
    assert_eq!(day["evening"], ada.get(EVENING).await.json());
    // Everything may be left out, and what is left out is gone.
    let nothing = ada.put(MORNING, &json!({}), None).await;
    let mut fields: Vec<_> = nothing
        .json()
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    fields.sort();
    assert_eq!(fields, ["created_at", "date", "revision", "updated_at"]);
}

#[tokio::test]
async fn the_same_again_is_one_record_of_one_revision_also_at_once() {
    let ada = Journal::of_a_new_person().await;
    let mut writing = JoinSet::new();
    for _ in 0..20 {
        let ada = ada.clone();
        writing.spawn(async move {
            let answer = ada.put(MORNING, &morning(), None).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.text
        });
    }
    let mut answers = writing.join_all().await;
    answers.dedup();
    assert_eq!(answers.len(), 1);
    let sql = "SELECT count(*), max(revision) FROM reflections WHERE user_id = $1";
    let row = database()
        .await
        .query_one(sql, &[&ada.user_id])
        .await
        .expect("a row");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 1));
}

#[tokio::test]
async fn different_ones_at_once_are_counted_one_after_another() {
    let ada = Journal::of_a_new_person().await;
    let mut writing = JoinSet::new();
    for number in 0..20 {
        let ada = ada.clone();
        writing.spawn(async move {
            let answer = ada
                .put(EVENING, &json!({"note": number.to_string()}), None)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            (answer.json()["revision"].as_u64(), number.to_string())
        });
    }
    let mut answers = writing.join_all().await;
    answers.sort();
    let revisions: Vec<_> = answers
        .iter()
        .filter_map(|(revision, _)| *revision)
        .collect();
    assert_eq!(revisions, (1..=20).collect::<Vec<_>>());
    let last = answers.last().map(|(_, note)| note.as_str());
    assert_eq!(ada.get(EVENING).await.json()["note"].as_str(), last);
}

#[tokio::test]
async fn only_the_revision_that_is_named_is_replaced_or_deleted() {
    let ada = Journal::of_a_new_person().await;
    let conflict = (412, "revision_conflict".to_owned());
    for header in ["\"1\"", "*"] {
        let refused = ada.put(MORNING, &morning(), Some(header)).await;
        assert_eq!(
            (refused.problem(), refused.header("etag")),
            (conflict.clone(), Some("\"0\""))
        );
    }
    assert_eq!(
        ada.put(MORNING, &morning(), Some("\"0\"")).await.status,
        200
    );
    let other = json!({"mental_state": 3});
    let refused = ada.put(MORNING, &other, Some("\"0\"")).await;
    assert_eq!(
        (refused.problem(), refused.header("etag")),
        (conflict.clone(), Some("\"1\""))
    );
    // The answer was lost.
    let repeated = ada.put(MORNING, &morning(), Some("\"0\"")).await;
    assert_eq!(
        (repeated.status, repeated.header("etag")),
        (200, Some("\"1\""))
    );
    assert_eq!(
        ada.put(MORNING, &other, Some("\"1\"")).await.header("etag"),
        Some("\"2\"")
    );
    let stale = ada.remove(MORNING, Some("\"1\"")).await;
    assert_eq!(
        (stale.problem(), stale.header("etag")),
        (conflict, Some("\"2\""))
    );
    for malformed in ["2", "\"2"] {
        for answer in [
            ada.put(MORNING, &morning(), Some(malformed)).await,
            ada.remove(MORNING, Some(malformed)).await,
        ] {
            assert_eq!(answer.pointers(), ["header:If-Match"]);
        }
    }
    let odd = HeaderValue::from_bytes(b"\"2\xff\"").expect("HTTP allows it");
    let request = ada.api(Method::PUT, MORNING).json(&morning());
    assert_eq!(
        sent(request.header("If-Match", odd)).await.pointers(),
        ["header:If-Match"]
    );
    assert_eq!(ada.remove(MORNING, Some("\"2\"")).await.status, 204);
    assert_eq!(
        ada.remove(MORNING, None).await.problem(),
        (404, "reflection_not_found".to_owned())
    );
    assert_eq!(days(&ada.get("/feels").await), Vec::<String>::new());
}

const ALL: [&str; 6] = [
    "9999-12-31 evening",
    "2026-11-24 morning",
    "2026-11-23 morningevening",
    "2026-11-22 evening",
    "2026-11-20 morningevening",
    "0001-01-01 morning",
];

/// Feels of the days of `ALL`, in another order.
async fn write_all(ada: &Journal) {
    for (date, part) in [
        ("2026-11-22", "evening"),
        ("2026-11-24", "morning"),
        ("2026-11-20", "morning"),
        ("2026-11-20", "evening"),
        ("2026-11-23", "evening"),
        ("2026-11-23", "morning"),
        ("0001-01-01", "morning"),
        ("9999-12-31", "evening"),
    ] {
        let answer = ada
            .put(
                &format!("/feels/{date}/{part}"),
                &json!({"note": part}),
                None,
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn days_are_listed_from_the_newest_page_by_page_with_both_parts_each() {
    let ada = Journal::of_a_new_person().await;
    assert_eq!(
        ada.get("/feels").await.json(),
        json!({"days": [], "unreadable": []})
    );
    write_all(&ada).await;
    // The note of a week is no feel.
    assert_eq!(
        ada.put("/weekly/2026-W48", &json!({"note": "x"}), None)
            .await
            .status,
        200
    );
    for limit in 1..=7 {
        let (mut listed, mut query) = (Vec::new(), format!("?limit={limit}"));
        loop {
            let page = ada.get(&format!("/feels{query}")).await;
            assert!(days(&page).len() <= limit);
            listed.extend(days(&page));
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else {
                break;
            };
            query = format!("?limit={limit}&after={next}");
        }
        assert_eq!(listed, ALL, "{limit}");
    }
}

#[tokio::test]
async fn only_the_days_that_are_asked_for_are_listed_and_cursors_are_for_one_person() {
    let ada = Journal::of_a_new_person().await;
    write_all(&ada).await;
    let some = ada.get("/feels?from=2026-11-22&to=2026-11-23").await;
    assert_eq!(days(&some), ALL[2..4]);
    let none = ada.get("/feels?from=2026-11-24&to=2026-11-22").await;
    assert_eq!(days(&none), Vec::<String>::new());
    let first = ada
        .get("/feels?from=2026-11-21&to=2026-11-24&limit=2")
        .await;
    let next = first.json()["next"]
        .as_str()
        .expect("there is more")
        .to_owned();
    let rest = ada
        .get(&format!(
            "/feels?from=2026-11-21&to=2026-11-24&limit=2&after={next}"
        ))
        .await;
    assert_eq!(days(&rest), ALL[3..4]);

    let bob = Journal::of_a_new_person().await;
    let stranger = format!("/feels?after={next}");
    assert_eq!(bob.get(&stranger).await.pointers(), ["query:after"]);
    assert_eq!(bob.put(MORNING, &morning(), None).await.status, 200);
    for answer in [
        bob.get(&stranger).await,
        ada.list(&format!("?after={next}")).await,
        ada.get("/feels?after=AAAA").await,
    ] {
        assert_eq!(answer.pointers(), ["query:after"]);
    }
    assert_eq!(days(&bob.get("/feels").await), ["2026-11-24 morning"]);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_of_it_is_kept() {
    let ada = Journal::of_a_new_person().await;
    let long = "x".repeat(501);
    for (path, body, pointer) in [
        (MORNING, json!({"mental_state": 0}), "#/mental_state"),
        (MORNING, json!({"mental_state": 11}), "#/mental_state"),
        (MORNING, json!({"mental_state": "fine"}), "#/mental_state"),
        (
            MORNING,
            json!({"strongest_emotion": long}),
            "#/strongest_emotion",
        ),
        (MORNING, json!({"avoiding": long}), "#/avoiding"),
        (MORNING, json!({"energy_gave": "x"}), "#/energy_gave"),
        (EVENING, json!({"energy_gave": long}), "#/energy_gave"),
        (EVENING, json!({"energy_drained": long}), "#/energy_drained"),
        (
            EVENING,
            json!({"pressure_or_purpose": long}),
            "#/pressure_or_purpose",
        ),
        (EVENING, json!({"note": "x".repeat(5001)}), "#/note"),
        (EVENING, json!({"date": "2026-11-24"}), "#/date"),
    ] {
        let answer = ada.put(path, &body, None).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    assert_eq!(days(&ada.get("/feels").await), Vec::<String>::new());
}

#[tokio::test]
async fn a_day_or_a_part_that_there_is_not_is_refused() {
    let ada = Journal::of_a_new_person().await;
    for date in [
        "yesterday",
        "2026-02-30",
        "0000-12-31",
        "10000-01-01",
        "%00",
    ] {
        let path = format!("/feels/{date}/morning");
        for answer in [
            ada.get(&path).await,
            ada.put(&path, &morning(), None).await,
            ada.remove(&path, None).await,
        ] {
            assert_eq!(
                answer.problem(),
                (400, "invalid_request".to_owned()),
                "{date}"
            );
            assert_eq!(answer.pointers(), ["path:date"], "{date}");
        }
    }
    assert_eq!(
        ada.get("/feels/2026-11-24/noon").await.problem(),
        (404, "not_found".to_owned())
    );
    assert_eq!(
        ada.get("/feels?limit=101").await.pointers(),
        ["query:limit"]
    );
    assert_eq!(days(&ada.get("/feels").await), Vec::<String>::new());
}
