//! Changes, exports and imports of everything that a person writes.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use stack::until;
use tokio::task::JoinSet;

use crate::{
    export::{exported, lines},
    import::{Drawn, Upload, counted, entries, file_with, imported, wrong},
    journal::{Journal, PATIENCE, database, draft, sent},
};

/// The lines of an export but its first, which has a time.
async fn records(journal: &Journal) -> Vec<Value> {
    let file = exported(journal, "ndjson").await.expect("all of it");
    lines(&file).split_off(1)
}

/// Two pillars in an order of their own with scores, entries that name them, feels, and the note of a week.
async fn write_everything(journal: &Journal) {
    let put = async |path: &str, body: Value| {
        let answer = journal.put(path, &body, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    };
    let (health, work) = (journal.pillar("Health").await, journal.pillar("Work").await);
    let edited = json!({"name": "Health \u{0}\u{202e}🌱", "target": 8.125, "unit": "hours", "color": "#3fA34d"});
    put(&format!("/pillars/{health}"), edited).await;
    put("/pillars/order", json!({"ids": [work, health]})).await;
    for (pillar, value, date) in [
        (&health, -7.5, "2026-11-24"),
        (&health, 0.001, "0001-01-01"),
        (&work, 1e9, "9999-12-31"),
    ] {
        let score = json!({"value": value, "date": date, "note": "\"---\"\n"});
        let added = journal
            .post(&format!("/pillars/{pillar}/scores"), &score)
            .await;
        assert_eq!(added.status, 201, "{}", added.text);
    }
    for (day, pillars) in [
        ("2026-11-24", json!([health, work])),
        ("2025-12-29", json!([])),
    ] {
        let mut entry = draft(day, "with pillars");
        entry["pillar_ids"] = pillars;
        let id = journal.write(&entry).await;
        for title in ["edited", "edited \u{0}\r\n---"] {
            entry["title"] = title.into();
            put(&format!("/entries/{id}"), entry.clone()).await;
        }
        put(
            &format!("/feels/{day}/morning"),
            json!({"mental_state": 7, "avoiding": "\u{2028}"}),
        )
        .await;
        put(
            &format!("/feels/{day}/evening"),
            json!({"energy_gave": "the walk"}),
        )
        .await;
        put(
            &format!("/feels/{day}/evening"),
            json!({"energy_gave": "the long walk"}),
        )
        .await;
    }
    for week in ["2026-W01", "2020-W53", "0001-W01", "9999-W52"] {
        put(
            &format!("/weekly/{week}"),
            json!({"note": "\r\nless screen"}),
        )
        .await;
    }
}

/// Texts of every kind of record that readers and writers stumble over.
async fn write_hostile(journal: &Journal) {
    let mut drawn = Drawn::new();
    for number in 1..=12 {
        let pillar =
            json!({"name": drawn.text(100), "icon": drawn.text(32), "unit": drawn.text(32)});
        let pillar = journal.post("/pillars", &pillar).await;
        assert_eq!(pillar.status, 201, "{}", pillar.text);
        let pillar = pillar.json()["id"].as_str().expect("an id").to_owned();
        let day = format!("2026-03-{number:02}");
        let score = json!({"value": number, "date": day, "note": drawn.text(1_000)});
        let score = journal
            .post(&format!("/pillars/{pillar}/scores"), &score)
            .await;
        assert_eq!(score.status, 201, "{}", score.text);
        let morning = json!({"mental_state": 1 + number % 10, "strongest_emotion": drawn.text(500),
                             "avoiding": drawn.text(500), "note": drawn.text(5_000)});
        let evening = json!({"energy_gave": drawn.text(500), "energy_drained": drawn.text(500),
                             "pressure_or_purpose": drawn.text(500), "note": drawn.text(5_000)});
        let week = json!({"note": drawn.text(5_000)});
        for (path, body) in [
            (format!("/feels/{day}/morning"), morning),
            (format!("/feels/{day}/evening"), evening),
            (format!("/weekly/2026-W{number:02}"), week),
        ] {
            let put = journal.put(&path, &body, None).await;
            assert_eq!(put.status, 200, "{}", put.text);
        }
    }
}

#[tokio::test]
async fn hostile_texts_of_every_kind_come_back_as_they_were() {
    let ada = Journal::of_a_new_person().await;
    write_hostile(&ada).await;
    let before = records(&ada).await;
    let file = exported(&ada, "ndjson").await.expect("all of it");
    delete_everything(&ada).await;
    assert_eq!(records(&ada).await.len(), 1, "the trailer is left");
    let report = imported(&ada, "", file).await;
    assert_eq!(report.status, 200, "{}", report.text);
    assert_eq!(records(&ada).await, before);
}

/// Everything goes that an export has.
async fn delete_everything(journal: &Journal) {
    for record in records(journal).await {
        let text = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
        let path = match text("type").as_str() {
            kind @ ("morning" | "evening") => format!("/feels/{}/{kind}", text("date")),
            "week_note" => format!("/weekly/{}", text("week")),
            "entry" => format!("/entries/{}", text("id")),
            "pillar" => format!("/pillars/{}", text("id")),
            // They go with their pillar.
            _ => continue,
        };
        let gone = journal.remove(&path, None).await;
        assert_eq!(gone.status, 204, "{path}: {}", gone.text);
    }
}

fn without_places(mut pillars: Value) -> Value {
    for pillar in pillars["pillars"].as_array_mut().into_iter().flatten() {
        pillar["position"] = Value::Null;
    }
    pillars
}

#[tokio::test]
async fn a_whole_journal_comes_back_as_it_was() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    write_everything(&ada).await;
    let before = records(&ada).await;
    let pillars = ada.get("/pillars").await.json();
    assert_eq!(
        before.last().map(|last| last["records"].clone()),
        Some(
            json!({"pillar": 2, "pillar_order": 1, "score": 3, "entry": 2,
                    "morning": 2, "evening": 2, "week_note": 4, "revision": 4})
        )
    );
    let file = exported(&ada, "ndjson").await.expect("all of it");
    delete_everything(&ada).await;
    assert_eq!(records(&ada).await.len(), 1);

    let report = |created, unchanged, revisions| json!({"dry_run": false, "created": created, "unchanged": unchanged, "revisions": revisions});
    let dry = imported(&ada, "?dry_run=true", file.clone()).await.json();
    assert_eq!(
        dry,
        json!({"dry_run": true, "created": 15, "unchanged": 0, "revisions": 4})
    );
    assert_eq!(records(&ada).await.len(), 1);
    let back = imported(&ada, "", file.clone()).await;
    assert_eq!((back.status, back.json()), (200, report(15, 0, 4)));
    assert_eq!(records(&ada).await, before);
    assert_eq!(ada.get("/pillars").await.json(), pillars);
    let again = imported(&ada, "", file.clone()).await.json();
    assert_eq!(again, report(0, 15, 0));
    assert_eq!(records(&ada).await, before);

    // Beside what somebody has already, pillars stand behind.
    let own = bob.pillar("Bob's").await;
    assert_eq!(imported(&bob, "", file).await.json(), report(15, 0, 4));
    let theirs = bob.get("/pillars").await.json();
    let names: Vec<_> = theirs["pillars"].as_array().into_iter().flatten().collect();
    assert_eq!(names[0]["id"], own);
    let (behind, first) = (without_places(theirs.clone()), without_places(pillars));
    assert_eq!(behind["pillars"][1], first["pillars"][0]);
    assert_eq!(behind["pillars"][2], first["pillars"][1]);
}

#[tokio::test]
async fn every_record_has_a_document_in_an_archive() {
    let ada = Journal::of_a_new_person().await;
    write_everything(&ada).await;
    let bytes = exported(&ada, "markdown").await.expect("all of it");
    let archive = rawzip::ZipArchive::from_slice(&bytes).expect("an archive");
    let name = |entry: rawzip::ZipFileHeaderRecord<'_>| {
        String::from_utf8(entry.file_path().as_ref().to_vec()).expect("UTF-8")
    };
    let names = archive
        .entries()
        .map(|entry| name(entry.expect("the directory is whole")));
    let names: Vec<_> = names.collect();
    assert_eq!(names.len(), 16);
    for expected in [
        "pillars/order.md",
        "2026/2026-11-24-morning.md",
        "2025/2025-12-29-evening.md",
        "2026/2026-W01.md",
        "0001/0001-W01.md",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected}: {names:?}"
        );
    }
}

#[tokio::test]
async fn what_is_there_and_another_is_named_by_its_line() {
    let ada = Journal::of_a_new_person().await;
    write_everything(&ada).await;
    let before = records(&ada).await;
    let mut lines = before.clone();
    let trailer = lines.pop().expect("a trailer");
    let mut expected = Vec::new();
    for (line, record) in (2..).zip(&mut lines) {
        let member = match record["type"].as_str().unwrap_or_default() {
            "pillar" => "name",
            "score" | "week_note" => "note",
            "morning" => "strongest_emotion",
            "evening" => "energy_drained",
            "entry" => "title",
            _ => continue,
        };
        record[member] = "another".into();
        expected.push(("exists".to_owned(), line));
    }
    let text: Vec<_> = lines.iter().map(Value::to_string).collect();
    let refused = imported(&ada, "", file_with(&text, &trailer)).await;
    assert_eq!(wrong(&refused), expected);
    assert_eq!(records(&ada).await, before);
}

fn pillar(number: usize) -> Value {
    json!({
        "type": "pillar",
        "id": format!("0198c0de-0000-7000-8000-{number:012}"),
        "name": format!("pillar {number}"),
        "revision": 1,
        "created_at": "2026-11-24T08:00:00Z",
        "updated_at": "2026-11-24T08:00:00Z",
    })
}

fn score(number: usize, pillar: &str) -> Value {
    json!({
        "type": "score",
        "id": format!("0198c0de-0000-7000-8000-{number:012}"),
        "pillar_id": pillar,
        "value": 7,
        "date": "2026-11-24",
        "created_at": "2026-11-24T08:00:00Z",
    })
}

#[tokio::test]
async fn a_score_needs_its_pillar_and_a_journal_has_room_for_two_hundred() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let theirs = bob.pillar("Bob's").await;
    let own = ada.pillar("Ada's").await;
    let unknown = |line| vec![("unknown_pillar".to_owned(), line)];
    for foreign in [theirs.as_str(), "0198c0de-0000-7000-8000-00000000abcd"] {
        let file = file_with(&[score(1, foreign).to_string()], &counted(&[("score", 1)]));
        assert_eq!(
            wrong(&imported(&ada, "", file).await),
            unknown(2),
            "{foreign}"
        );
    }
    let own = file_with(&[score(1, &own).to_string()], &counted(&[("score", 1)]));
    assert_eq!(imported(&ada, "", own).await.json()["created"], 1);

    let many = |count| {
        let pillars: Vec<_> = (0..count)
            .map(|number| pillar(number).to_string())
            .collect();
        file_with(&pillars, &counted(&[("pillar", count)]))
    };
    let too_many = imported(&ada, "", many(200)).await;
    assert_eq!(wrong(&too_many), [("too_many_pillars".to_owned(), 201)]);
    assert_eq!(imported(&ada, "", many(199)).await.json()["created"], 199);
    // What is there already takes no room.
    assert_eq!(imported(&ada, "", many(199)).await.json()["unchanged"], 199);
    let one_more = ada.post("/pillars", &json!({"name": "one more"})).await;
    assert_eq!(one_more.problem(), (409, "too_many_pillars".to_owned()));
}

/// Waits until an import of theirs has put lines of its file aside, and waits for more of them.
async fn until_a_part_is_looked_at(journal: &Journal) {
    let person = journal.user_id.to_string();
    let waiting = until("a part is looked at", PATIENCE, async || {
        let sql = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE locktype = 'advisory' AND state = 'idle in transaction' AND query LIKE 'INSERT INTO pg_temp.imported_reflections%'
                     AND (classid::bigint << 32 | objid::bigint) = hashtextextended('import ' || $1::text, 0)";
        let waiting = database().await.query_one(sql, &[&person]).await;
        let waiting: i64 = waiting.expect("a number").get(0);
        (waiting == 1).then_some(()).ok_or(waiting)
    });
    waiting.await.expect("in time");
}

#[tokio::test]
async fn what_changes_while_a_file_is_read_leaves_nothing_half_stored() {
    for deleted in [true, false] {
        let ada = Journal::of_a_new_person().await;
        let own = ada.pillar("Ada's").await;
        let morning = json!({"type": "morning", "date": "2026-11-24", "note": "from the file", "revision": 3,
                             "created_at": "2026-11-24T08:00:00Z", "updated_at": "2026-11-24T08:00:00Z"});
        // Long enough that the first lines are looked at before the last ones are sent.
        let mut text = vec![score(1, &own).to_string(), morning.to_string()];
        text.extend(entries(0..1_500));
        let trailer = counted(&[("score", 1), ("morning", 1), ("entry", 1_500)]);
        let file = file_with(&text, &trailer);
        let (most, rest) = file.split_at(file.len() - 100);
        let mut upload = Upload::begin(&ada, file.len()).await;
        upload.send(most).await;
        until_a_part_is_looked_at(&ada).await;
        if deleted {
            let path = format!("/pillars/{own}");
            assert_eq!(ada.remove(&path, None).await.status, 204);
        } else {
            let meanwhile = json!({"note": "written meanwhile"});
            let wrote = ada.put("/feels/2026-11-24/morning", &meanwhile, None).await;
            assert_eq!(wrote.status, 200, "{}", wrote.text);
        }
        upload.send(rest).await;
        let answer = upload.answer().await;
        assert!(answer.contains("journal_changed"), "{answer}");
        let left = records(&ada).await;
        assert!(left.iter().all(|it| it["type"] != "score"), "{left:?}");
        let morning = left.iter().find(|it| it["type"] == "morning");
        let note = morning.map(|it| it["note"].clone());
        assert_eq!(note, (!deleted).then(|| "written meanwhile".into()));
    }
}

#[tokio::test]
async fn a_record_of_any_kind_that_does_not_open_breaks_an_export_off() {
    for table in ["pillars", "pillar_scores", "reflections"] {
        let ada = Journal::of_a_new_person().await;
        write_everything(&ada).await;
        let sql = format!(
            "UPDATE {table} SET content_sealed = content_sealed || '\\x00' WHERE user_id::text = $1"
        );
        let person = ada.user_id.to_string();
        let broke = database().await.execute(&sql, &[&person]).await;
        assert!(broke.expect("the attack is valid SQL") > 0);
        let response = ada.elsewhere(Method::GET, "/export").send().await;
        let response = response.expect("the journal answers");
        let is_refused = response.status() == 409;
        let text = response.text().await;
        let is_broken = text
            .as_ref()
            .is_ok_and(|text| text.contains("record_unreadable"));
        assert!(
            if is_refused { is_broken } else { text.is_err() },
            "{table}: {text:?}"
        );
    }
}

/// What a client without a connection has of a journal.
#[derive(Default)]
struct Follower {
    cursor: Option<String>,
    records: BTreeMap<(String, String), Value>,
}

impl Follower {
    async fn catch_up(&mut self, journal: &Journal) {
        loop {
            let since = self.cursor.as_ref();
            let since = since.map_or_else(String::new, |cursor| format!("&since={cursor}"));
            let path = format!("/changes?limit=5{since}");
            let page = sent(journal.elsewhere(Method::GET, &path)).await;
            assert_eq!(page.status, 200, "{}", page.text);
            let page = page.json();
            for change in page["changes"].as_array().into_iter().flatten() {
                let text = |member: &str| change[member].as_str().unwrap_or_default().to_owned();
                let key = (text("kind"), text("id"));
                match text("state").as_str() {
                    "written" => self.records.insert(key.clone(), change[&key.0].clone()),
                    "deleted" => self.records.remove(&key),
                    other => panic!("{other}: {change}"),
                };
            }
            self.cursor = page["next"].as_str().map(str::to_owned);
            if page["more"] != true {
                return;
            }
        }
    }

    /// The same as an export has, but for the order of pillars, which it completes.
    async fn assert_has_everything(&self, journal: &Journal) {
        let mut exported = BTreeMap::new();
        for mut record in records(journal).await {
            let Some(members) = record.as_object_mut() else {
                continue;
            };
            let kind = members
                .remove("type")
                .and_then(|it| it.as_str().map(str::to_owned));
            let kind = kind.unwrap_or_default();
            let id = match kind.as_str() {
                "trailer" | "pillar_order" | "revision" => continue,
                "morning" | "evening" => record["date"].clone(),
                "week_note" => record["week"].clone(),
                _ => record["id"].clone(),
            };
            let id = id.as_str().unwrap_or_default().to_owned();
            exported.insert((kind, id), record);
        }
        let followed = self
            .records
            .iter()
            .filter(|((kind, _), _)| kind != "pillar_order");
        let followed: BTreeMap<_, _> = followed
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect();
        assert_eq!(followed, exported);
    }
}

#[tokio::test]
async fn who_follows_has_everything_and_nothing_that_was_deleted() {
    let ada = Journal::of_a_new_person().await;
    let mut follower = Follower::default();
    write_everything(&ada).await;
    follower.catch_up(&ada).await;
    follower.assert_has_everything(&ada).await;
    let order = ("pillar_order".to_owned(), "order".to_owned());
    let pillars = ada.get("/pillars").await.json();
    let ids = pillars["pillars"].as_array().into_iter().flatten();
    let ids: Vec<_> = ids.map(|pillar| pillar["id"].clone()).collect();
    assert_eq!(follower.records.get(&order), Some(&ids.into()));
    let file = exported(&ada, "ndjson").await.expect("all of it");
    delete_everything(&ada).await;
    follower.catch_up(&ada).await;
    follower.assert_has_everything(&ada).await;
    let left: Vec<_> = follower.records.into_keys().collect();
    assert_eq!(left, [order]);
    // What an import has brought is a change as well.
    let mut follower = Follower {
        cursor: follower.cursor,
        records: BTreeMap::new(),
    };
    assert_eq!(imported(&ada, "", file).await.status, 200);
    follower.catch_up(&ada).await;
    follower.assert_has_everything(&ada).await;
}

#[tokio::test]
async fn nothing_is_missed_while_everything_is_written_at_once() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("busy").await;
    let mut writing = JoinSet::new();
    for day in 1..=12 {
        let (ada, pillar) = (ada.clone(), pillar.clone());
        writing.spawn(async move {
            let date = format!("2026-11-{day:02}");
            let score = json!({"value": day, "date": date});
            let own = ada.pillar(&date).await;
            // Several that go with their pillar at once.
            for pillar in [&pillar, &own, &own, &own] {
                let added = ada.post(&format!("/pillars/{pillar}/scores"), &score).await;
                assert_eq!(added.status, 201, "{}", added.text);
            }
            ada.write(&draft(&date, "busy")).await;
            for path in [
                format!("/feels/{date}/morning"),
                format!("/weekly/2026-W{day:02}"),
            ] {
                let put = ada.put(&path, &json!({"note": "busy"}), None).await;
                assert_eq!(put.status, 200, "{}", put.text);
            }
            if day % 2 == 0 {
                let gone = ada.remove(&format!("/pillars/{own}"), None).await;
                assert_eq!(gone.status, 204, "{}", gone.text);
            }
        });
    }
    let mut follower = Follower::default();
    while !writing.is_empty() {
        follower.catch_up(&ada).await;
        while let Some(wrote) = writing.try_join_next() {
            wrote.expect("it wrote");
        }
    }
    follower.catch_up(&ada).await;
    follower.assert_has_everything(&ada).await;
}

#[tokio::test]
async fn an_entry_that_names_a_pillar_of_the_file_is_another_than_one_that_does_not() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("comes back").await;
    let mut entry = draft("2026-11-24", "named it");
    entry["pillar_ids"] = json!([pillar]);
    let id = ada.write(&entry).await;
    let file = exported(&ada, "ndjson").await.expect("all of it");
    entry["pillar_ids"] = json!([]);
    assert_eq!(ada.replace(&id, &entry, None).await.status, 200);
    let path = format!("/pillars/{pillar}");
    assert_eq!(ada.remove(&path, None).await.status, 204);
    let before = records(&ada).await;
    let refused = imported(&ada, "", file).await;
    assert_eq!(wrong(&refused), [("exists".to_owned(), 4)]);
    assert_eq!(records(&ada).await, before);
}

#[tokio::test]
async fn a_file_from_before_there_were_other_records_is_still_read() {
    let ada = Journal::of_a_new_person().await;
    let trailer = json!({"type": "trailer", "records": {"entry": 2}});
    let file = file_with(&entries(0..2), &trailer);
    assert_eq!(imported(&ada, "", file).await.json()["created"], 2);
    let miscounted = json!({"type": "trailer", "records": {"entry": 1}});
    let file = file_with(&entries(0..2), &miscounted);
    let refused = imported(&ada, "", file).await;
    assert_eq!(wrong(&refused), [("wrong_counts".to_owned(), 4)]);
}

#[tokio::test]
async fn an_order_that_was_changed_is_not_exported_as_another_one() {
    let ada = Journal::of_a_new_person().await;
    write_everything(&ada).await;
    let pillars = ada.get("/pillars").await.json();
    let ids = pillars["pillars"].as_array().into_iter().flatten();
    let ids: Vec<_> = ids.map(|pillar| pillar["id"].clone()).collect();
    let sql = "UPDATE pillar_orders SET revision = 9223372036854775807 WHERE user_id = $1";
    let broke = database().await.execute(sql, &[&ada.user_id]).await;
    assert_eq!(broke.expect("the attack is valid SQL"), 1);
    let refused = sent(ada.elsewhere(Method::GET, "/export")).await;
    assert_eq!(refused.problem(), (409, "record_unreadable".to_owned()));
    // An import puts an order in its place as well, as everybody who orders their pillars does.
    let more = file_with(&[pillar(1).to_string()], &counted(&[("pillar", 1)]));
    assert_eq!(imported(&ada, "", more).await.json()["created"], 1);
    assert!(exported(&ada, "ndjson").await.is_ok());
    let order = json!({"ids": [ids[0], ids[1], pillar(1)["id"]]});
    assert_eq!(ada.put("/pillars/order", &order, None).await.status, 200);
}
