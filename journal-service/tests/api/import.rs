//! `POST /api/import`: all of a file or nothing of it.

use std::time::Duration;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};
use shared::random;
use stack::{Addresses, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    export::{exported, lines},
    journal::{Answer, Journal, PATIENCE, database, draft, sent},
};

const HEADER: &str = r#"{"type":"header","format":"keystead-journal","version":1,"exported_at":"2026-11-24T08:00:00Z"}"#;

pub(crate) async fn imported(journal: &Journal, query: &str, file: Vec<u8>) -> Answer {
    let request = journal.elsewhere(Method::POST, &format!("/import{query}"));
    let request = request.header("Content-Type", "application/x-ndjson");
    sent(request.body(file)).await
}

pub(crate) fn entry(number: u32) -> Value {
    json!({
        "type": "entry",
        "id": format!("0198c0de-0000-7000-8000-{number:012}"),
        "date": "2026-11-24",
        "title": format!("entry {number}"),
        "body": "Dear diary",
        "mood": 7,
        "tags": ["home"],
        "completed": true,
        "revision": 3,
        "created_at": "2026-11-24T08:00:00.000001Z",
        "updated_at": "2026-11-24T09:00:00.123456Z",
    })
}

/// A trailer that counts these.
pub(crate) fn counted(of: &[(&str, usize)]) -> Value {
    let mut records = json!({"pillar": 0, "pillar_order": 0, "score": 0, "entry": 0,
                             "morning": 0, "evening": 0, "week_note": 0, "revision": 0});
    for (kind, count) in of {
        records[kind] = (*count).into();
    }
    json!({"type": "trailer", "records": records})
}

/// A whole file of these lines, all of them entries.
fn file(records: &[String]) -> Vec<u8> {
    file_with(records, &counted(&[("entry", records.len())]))
}

pub(crate) fn file_with(records: &[String], trailer: &Value) -> Vec<u8> {
    let mut text = format!("{HEADER}\n");
    for record in records {
        text.push_str(record);
        text.push('\n');
    }
    format!("{text}{trailer}\n").into_bytes()
}

pub(crate) fn entries(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| entry(number).to_string()).collect()
}

/// Codes and lines of what is wrong.
pub(crate) fn wrong(answer: &Answer) -> Vec<(String, u64)> {
    assert_eq!(
        answer.problem(),
        (400, "import_refused".to_owned()),
        "{}",
        answer.text
    );
    let errors = answer.json()["errors"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let told = |error: &Value| {
        let code = error["code"].as_str().unwrap_or_default().to_owned();
        (code, error["line"].as_u64().unwrap_or_default())
    };
    errors.iter().map(told).collect()
}

async fn delete_all(journal: &Journal) {
    for entry in journal.entries().await {
        let id = entry["id"].as_str().unwrap_or_default();
        assert_eq!(journal.delete(id, None).await.status, 204);
    }
}

/// Texts that readers and writers of formats stumble over, and any others.
fn hostile() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "\u{0}",
        "\r\n---\r\n",
        "\u{2028}\u{2029}",
        "\u{feff}bom",
        "\u{202e}rtl",
        "e\u{301}",
        "\"},\n{\"type\":\"trailer\",\"records\":{}}\n",
        "\\u0000\\",
        "\u{10ffff}\u{fffe}",
        "👩‍👩‍👧‍👦",
        "\u{7f}\u{85}\u{9f}",
        "line\nline\rline",
        "{\"a\":1}",
        "null",
        "\t\u{b}\u{c}\u{1b}[0m",
    ];
    prop_oneof![
        prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        "\\PC{0,80}",
    ]
}

/// Other texts with every run; what they began with is told when a test fails.
pub(crate) struct Drawn(TestRunner);

impl Drawn {
    pub(crate) fn new() -> Self {
        let seed = random::bytes::<32>();
        eprintln!("drawn from {seed:?}");
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        Self(TestRunner::new_with_rng(Config::default(), rng))
    }

    /// A text of one to so many characters.
    pub(crate) fn text(&mut self, most: usize) -> String {
        self.one(&of_at_most(most))
    }

    fn one<S: Strategy>(&mut self, strategy: &S) -> S::Value {
        let tree = strategy.new_tree(&mut self.0);
        tree.expect("a value").current()
    }
}

fn of_at_most(most: usize) -> impl Strategy<Value = String> {
    let short = hostile().prop_map(move |text| text.chars().take(most).collect::<String>());
    short.prop_filter("not empty", |text| !text.is_empty())
}

/// Drafts of every kind.
fn hostile_drafts(count: usize) -> Vec<Value> {
    let mut drawn = Drawn::new();
    let short = |text: String, most: usize| text.chars().take(most).collect::<String>();
    let strategy = (
        (
            hostile(),
            hostile(),
            prop::collection::hash_set(of_at_most(64), 0..4),
        ),
        (
            prop::option::of(1..=10u8),
            any::<bool>(),
            1..=9999i32,
            1..=365u16,
        ),
    );
    let drafts = (0..count).map(|_| {
        let ((title, body, tags), (mood, completed, year, day)) = drawn.one(&strategy);
        let date = time::Date::from_ordinal_date(year, day).expect("a day");
        json!({"date": date.to_string(), "title": short(title, 200), "body": body, "mood": mood,
               "tags": tags, "completed": completed})
    });
    drafts.collect()
}

#[tokio::test]
async fn what_was_exported_and_deleted_comes_back_as_it_was() {
    let ada = Journal::of_a_new_person().await;
    let mut drafts = hostile_drafts(160);
    let edits = drafts.split_off(120);
    let mut ids = Vec::new();
    for draft in drafts {
        ids.push(ada.write(&draft).await);
    }
    for (id, edit) in ids.iter().zip(&edits) {
        assert_eq!(ada.replace(id, edit, None).await.status, 200);
    }
    for body in [
        "\u{0}".repeat(600_000),
        "é".repeat(1 << 19),
        "\"\\\n".repeat(300_000),
    ] {
        let mut huge = draft("2026-11-24", "huge");
        huge["body"] = body.into();
        let id = ada.write(&huge).await;
        huge["title"] = "edited".into();
        assert_eq!(ada.replace(&id, &huge, None).await.status, 200);
    }
    let before = ada.entries().await;
    let file = exported(&ada, "ndjson").await.expect("all of it");
    let revisions = lines(&file);
    let revisions = revisions.iter().filter(|it| it["type"] == "revision");
    // An edit that happens to say the same makes none.
    let revisions = revisions.count();
    assert!((30..=43).contains(&revisions), "{revisions}");
    delete_all(&ada).await;

    let dry = imported(&ada, "?dry_run=true", file.clone()).await;
    let report = json!({"dry_run": true, "created": 123, "unchanged": 0, "revisions": revisions});
    assert_eq!((dry.status, dry.json()), (200, report));
    assert!(ada.entries().await.is_empty());
    let real = imported(&ada, "", file.clone()).await;
    let report = json!({"dry_run": false, "created": 123, "unchanged": 0, "revisions": revisions});
    assert_eq!((real.status, real.json()), (200, report));
    assert_eq!(ada.entries().await, before);

    // Again: nothing happens, and the file would be the same.
    let again = imported(&ada, "?dry_run=false", file.clone()).await.json();
    assert_eq!(
        (&again["created"], &again["unchanged"]),
        (&0.into(), &123.into())
    );
    assert_eq!(ada.entries().await, before);
    let records = |file: &[u8]| lines(file).split_off(1);
    let second = exported(&ada, "ndjson").await.expect("all of it");
    assert_eq!(records(&second), records(&file));

    // What came back is an entry like any other.
    let id = before[0]["id"].as_str().expect("an entry has an id");
    let tag = format!("\"{}\"", before[0]["revision"]);
    let edited = ada
        .replace(id, &draft("2026-11-24", "later"), Some(&tag))
        .await;
    assert_eq!(edited.status, 200, "{}", edited.text);
}

#[tokio::test]
async fn somebody_elses_ids_are_like_any_others() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    ada.write(&draft("2026-11-24", "ada's")).await;
    let file = exported(&ada, "ndjson").await.expect("all of it");
    let before = ada.entries().await;
    let taken = imported(&bob, "", file).await;
    assert_eq!(taken.json()["created"], 1, "{}", taken.text);
    let id = before[0]["id"].as_str().expect("an entry has an id");
    assert_eq!(
        bob.replace(id, &draft("2026-11-24", "bob's"), None)
            .await
            .status,
        200
    );
    assert_eq!(ada.entries().await, before);
}

#[tokio::test]
async fn an_entry_that_is_there_with_other_content_is_a_conflict_and_nothing_is_stored() {
    let ada = Journal::of_a_new_person().await;
    assert_eq!(imported(&ada, "", file(&entries(0..3))).await.status, 200);
    let before = ada.entries().await;
    let mut other = entry(1);
    other["title"] = "another".into();
    let mut longer = entry(2);
    longer["body"] = "x".repeat(10_000).into();
    let records = [entry(0), other, longer, entry(3)].map(|it| it.to_string());
    for query in ["?dry_run=true", ""] {
        let refused = imported(&ada, query, file(&records)).await;
        let exists = |line| ("exists".to_owned(), line);
        assert_eq!(wrong(&refused), [exists(3), exists(4)], "{query}");
    }
    assert_eq!(ada.entries().await, before);
}

#[tokio::test]
async fn whatever_is_wrong_is_named_by_its_line_and_nothing_is_stored() {
    let ada = Journal::of_a_new_person().await;
    let good = entry(1).to_string();
    let with = |member: &str, value: Value| {
        let mut record = entry(2);
        record[member] = value;
        record.to_string()
    };
    let deep = format!("{{\"type\":{}", "[".repeat(100_000));
    let lines: [(&str, String, &str); 18] = [
        ("malformed_json", "{".to_owned(), "#"),
        ("malformed_json", String::new(), "#"),
        ("malformed_json", deep, "#"),
        (
            "malformed_json",
            r#"{"type":"entry","type":"entry"}"#.to_owned(),
            "#",
        ),
        ("invalid", "[]".to_owned(), "#"),
        ("unknown_type", "{}".to_owned(), "#/type"),
        ("unknown_type", r#"{"type":"pony"}"#.to_owned(), "#/type"),
        ("invalid", with("extra", 1.into()), "#/extra"),
        ("invalid", with("found", Value::Null), "#/found"),
        ("invalid", with("id", "0198c0de".into()), "#/id"),
        (
            "invalid",
            with("id", "ffffffff-ffff-ffff-ffff-ffffffffffff".into()),
            "#/id",
        ),
        ("invalid", with("revision", i64::MAX.into()), "#/revision"),
        ("invalid", with("revision", 1.5.into()), "#/revision"),
        (
            "invalid",
            with("created_at", "2126-11-24T08:00:00Z".into()),
            "#/created_at",
        ),
        (
            "invalid",
            with("updated_at", "2026-11-23T08:00:00Z".into()),
            "#/updated_at",
        ),
        ("invalid", with("title", "x".repeat(201).into()), "#/title"),
        ("invalid", with("mood", 0.into()), "#/mood"),
        ("duplicate", good.clone(), "#"),
    ];
    for (code, line, pointer) in lines {
        let refused = imported(&ada, "", file(&[good.clone(), line.clone()])).await;
        let named = &refused.json()["errors"][0];
        assert_eq!(
            (&named["code"], &named["line"]),
            (&code.into(), &3.into()),
            "{}",
            refused.text
        );
        assert_eq!(named["pointer"], pointer, "{}", refused.text);
    }
    assert!(ada.entries().await.is_empty());
}

#[tokio::test]
async fn bytes_that_are_no_text_and_a_line_that_is_too_long_are_refused() {
    let ada = Journal::of_a_new_person().await;
    let good = entry(1).to_string();
    let mut bytes = file(std::slice::from_ref(&good));
    let place = bytes
        .windows(4)
        .position(|it| it == b"Dear")
        .expect("it is there");
    bytes[place] = 0xff;
    assert_eq!(
        wrong(&imported(&ada, "", bytes).await),
        [("malformed_json".to_owned(), 2)]
    );
    let long = format!(
        "{{\"type\":\"entry\",\"body\":\"{}\"}}",
        "x".repeat(8 << 20)
    );
    let refused = imported(&ada, "", file(&[good.clone(), long])).await;
    assert_eq!(wrong(&refused), [("line_too_long".to_owned(), 3)]);
    assert!(ada.entries().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused() {
    let ada = Journal::of_a_new_person().await;
    let whole = String::from_utf8(file(&entries(0..3))).expect("UTF-8");
    let lines: Vec<_> = whole.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n").into_bytes();
    let found = |code: &str, line| (code.to_owned(), line);
    let later = whole.replace("\"version\":1", "\"version\":2");
    let other = whole.replace("keystead-journal", "somebody-elses");
    for (bytes, expected) in [
        (Vec::new(), vec![found("truncated", 1)]),
        (
            b"\n".to_vec(),
            vec![found("malformed_json", 1), found("truncated", 1)],
        ),
        (joined(&lines[..4]), vec![found("truncated", 4)]),
        (
            whole.as_bytes()[..whole.len() - 8].to_vec(),
            vec![found("malformed_json", 5), found("truncated", 5)],
        ),
        (joined(&lines[1..]), vec![found("missing_header", 1)]),
        (
            joined(&[lines[0], lines[1], lines[4]]),
            vec![found("wrong_counts", 3)],
        ),
        (
            format!("{whole}{whole}").into_bytes(),
            (6..=10).map(|line| found("misplaced", line)).collect(),
        ),
        (later.into_bytes(), vec![found("unknown_format", 1)]),
        (other.into_bytes(), vec![found("unknown_format", 1)]),
    ] {
        assert_eq!(wrong(&imported(&ada, "", bytes).await), expected);
    }
    assert!(ada.entries().await.is_empty());
    // Without the last line feed nothing is missing.
    let bare = whole.trim_end().as_bytes().to_vec();
    assert_eq!(imported(&ada, "", bare).await.json()["created"], 3);
}

#[tokio::test]
async fn of_a_hundred_thousand_wrong_lines_a_hundred_are_told() {
    let ada = Journal::of_a_new_person().await;
    let line = r#"{"type":"entry","secret":"hunter2 hunter2"}"#.to_owned();
    let refused = imported(&ada, "", file(&vec![line; 100_000])).await;
    let wrong = wrong(&refused);
    assert_eq!(wrong.len(), 100);
    assert_eq!(wrong[0], ("invalid".to_owned(), 2));
    assert!(!refused.text.contains("hunter2"));
    assert!(refused.text.len() < 30_000, "{}", refused.text.len());
}

#[tokio::test]
async fn only_a_file_of_lines_that_is_short_enough_is_read() {
    let ada = Journal::of_a_new_person().await;
    for media_type in ["application/json", "text/plain", ""] {
        let request = ada.elsewhere(Method::POST, "/import");
        let request = request.header("Content-Type", media_type).body(file(&[]));
        let refused = sent(request).await;
        assert_eq!(
            refused.problem(),
            (415, "unsupported_media_type".to_owned())
        );
    }
    let request = ada.elsewhere(Method::POST, "/import?dry_run=perhaps");
    let request = request.header("Content-Type", "application/x-ndjson");
    assert_eq!(
        sent(request.body(file(&[]))).await.pointers(),
        ["query:dry_run"]
    );
    let mut upload = Upload::begin(&ada, (256 << 20) + 1).await;
    assert!(upload.answer().await.contains("payload_too_large"));
    // As much is not refused for its length.
    let mut upload = Upload::begin(&ada, 256 << 20).await;
    upload.send(b"no JSON\n").await;
    upload.hang_up();
}

#[tokio::test]
async fn of_two_imports_at_once_one_stores_everything_and_the_other_nothing() {
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "before")).await;
    let file = file(&entries(0..2_000));
    let (one, other) = tokio::join!(
        imported(&ada, "", file.clone()),
        imported(&ada, "", file.clone())
    );
    let mut outcomes = [one, other].map(|answer| {
        if answer.status == 200 {
            return answer.json()["created"].as_u64();
        }
        assert_eq!(answer.problem(), (409, "import_in_progress".to_owned()));
        None
    });
    outcomes.sort_unstable();
    assert_eq!(outcomes[1], Some(2_000));
    assert!(matches!(outcomes[0], None | Some(0)), "{outcomes:?}");
    assert_eq!(ada.entries().await.len(), 2_001);
}

/// An import that is sent by hand.
pub(crate) struct Upload(TcpStream);

impl Upload {
    pub(crate) async fn begin(journal: &Journal, length: usize) -> Self {
        let address = Addresses::of_the_test_run().api.journal;
        let address = address
            .strip_prefix("http://")
            .expect("it speaks plain HTTP");
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut upload = Self(stream);
        let header = format!(
            "POST /api/import HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n",
            journal.token()
        );
        upload.send(header.as_bytes()).await;
        upload
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("it is taken");
    }

    /// What comes back, to the end of the connection or of the time.
    pub(crate) async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&text).contains("request_id") {
            let read = timeout(PATIENCE, self.0.read(&mut piece)).await;
            match read.expect("an answer comes") {
                Ok(0) | Err(_) => break,
                Ok(read) => text.extend_from_slice(&piece[..read]),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn hang_up(self) {
        drop(self.0);
    }
}

/// Most of a file that is long enough to be on its way into the database, and the rest of it.
pub(crate) fn long_file() -> (Vec<u8>, Vec<u8>) {
    let mut records = entries(0..900);
    for record in &mut records {
        *record = record.replace("Dear diary", &"x".repeat(4_000));
    }
    let mut bytes = file(&records);
    let rest = bytes.split_off(bytes.len() - 100);
    (bytes, rest)
}

/// Waits until an import of theirs has its transaction. Asking the journal with another import would take its place.
pub(crate) async fn until_it_is_stored(journal: &Journal) {
    let person = journal.user_id.to_string();
    until("the import is under way", PATIENCE, async || {
        let sql = "SELECT count(*) FROM pg_locks
                   WHERE locktype = 'advisory' AND granted
                     AND (classid::bigint << 32 | objid::bigint) = hashtextextended('import ' || $1::text, 0)";
        let locks = database().await.query_one(sql, &[&person]).await;
        let locks: i64 = locks.expect("a number").get(0);
        (locks == 1).then_some(()).ok_or(locks)
    })
    .await
    .expect("an import begins");
}

#[tokio::test]
async fn who_hangs_up_in_the_middle_has_stored_nothing_and_can_begin_again() {
    let ada = Journal::of_a_new_person().await;
    let (most, rest) = long_file();
    let mut upload = Upload::begin(&ada, most.len() + rest.len()).await;
    upload.send(&most).await;
    until_it_is_stored(&ada).await;
    assert!(ada.entries().await.is_empty());
    // Who writes meanwhile does not wait for it.
    let meanwhile = draft("2026-11-24", "meanwhile");
    let quick = timeout(Duration::from_secs(4), ada.write(&meanwhile));
    quick.await.expect("nothing of the journal is locked");
    upload.hang_up();
    let whole = [most, rest].concat();
    until("the import has ended", PATIENCE, async || {
        let answer = imported(&ada, "", whole.clone()).await;
        (answer.status == 200).then_some(()).ok_or(answer.text)
    })
    .await
    .expect("it can begin again");
    assert_eq!(ada.entries().await.len(), 901);
}

#[tokio::test]
async fn who_was_refused_and_goes_on_sending_keeps_their_place() {
    let ada = Journal::of_a_new_person().await;
    let upload = until("the import has its place", PATIENCE, async || {
        let mut upload = Upload::begin(&ada, 1 << 20).await;
        // More wrong lines than are looked at, and then nothing.
        upload.send("x\n".repeat(2_000).as_bytes()).await;
        // Whichever of the two comes first has the place.
        let answer = imported(&ada, "", file(&[])).await;
        (answer.status == 409).then_some(upload).ok_or(answer.text)
    });
    let upload = upload.await.expect("in time");
    for _ in 0..30 {
        let answer = imported(&ada, "", file(&[])).await;
        assert_eq!(answer.problem(), (409, "import_in_progress".to_owned()));
    }
    upload.hang_up();
}
