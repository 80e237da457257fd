//! `POST /api/entries`.

use reqwest::Method;
use serde_json::{Value, json};
use stack::Addresses;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::journal::{Journal, draft, sent};

#[tokio::test]
async fn an_entry_is_stored_and_read_back_as_it_was_written() {
    let ada = Journal::of_a_new_person().await;
    let written = draft("2026-11-24", "A quiet day");
    let created = ada.create(&written).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let entry = created.json();
    for (field, value) in written.as_object().expect("a draft is an object") {
        assert_eq!(&entry[field], value, "{field}");
    }
    assert_eq!(entry["revision"], 1);
    assert_eq!(entry["created_at"], entry["updated_at"]);
    let id = entry["id"].as_str().expect("an entry has an id");
    assert_eq!(
        created.header("location"),
        Some(format!("/api/entries/{id}").as_str())
    );
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert_eq!(created.header("cache-control"), Some("no-store"));

    let read = ada.read(id).await;
    assert_eq!((read.status, read.header("etag")), (200, Some("\"1\"")));
    assert_eq!(read.json(), entry);
}

#[tokio::test]
async fn what_may_be_left_out_has_a_default() {
    let ada = Journal::of_a_new_person().await;
    let least = json!({"date": "2026-11-24", "title": "", "body": ""});
    let entry = ada.create(&least).await.json();
    assert_eq!(entry["tags"], json!([]));
    assert_eq!(entry["completed"], false);
    assert_eq!(entry.get("mood"), None);
    let null = json!({"date": "2026-11-24", "title": "", "body": "", "mood": null});
    assert_eq!(ada.create(&null).await.status, 201);
}

#[tokio::test]
async fn hostile_text_comes_back_unchanged() {
    let ada = Journal::of_a_new_person().await;
    let hostile = [
        "\0\u{1}\u{7f}\u{80}\u{9f}",
        "e\u{301} \u{e9} \u{212b} \u{1e9e} ſ",
        "\u{202e}right to left\u{202c}\u{200b}\u{feff}\u{2028}\u{2029}",
        "👩‍👩‍👧‍👦🏳️‍🌈 \u{10ffff}\u{fffe}\u{fffd}",
        "'; DROP TABLE entries; -- \\\" <script>alert(1)</script> ${jndi:ldap://x} %s%n {{7*7}}",
        "line\r\nline\n\n\ttab   trailing   ",
    ];
    for text in hostile {
        let tag: String = text.chars().take(64).collect();
        let written = json!({
            "date": "2026-11-24", "title": text, "body": text, "tags": [tag], "mood": 1
        });
        let id = ada.write(&written).await;
        let read = ada.read(&id).await.json();
        assert_eq!(
            (&read["title"], &read["body"]),
            (&json!(text), &json!(text))
        );
        assert_eq!(read["tags"], json!([tag]));
    }
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_taken_however_it_is_escaped_and_no_byte_more() {
    let ada = Journal::of_a_new_person().await;
    let longest = "é".repeat(1 << 19);
    let id = ada
        .write(&json!({"date": "2026-11-24", "title": "", "body": longest}))
        .await;
    assert_eq!(ada.read(&id).await.json()["body"], longest);

    // As a client writes it that escapes everything beyond ASCII.
    let escaped = format!(
        r#"{{"date":"2026-11-24","title":"","body":"{}"}}"#,
        r"\u00e9".repeat(1 << 19)
    );
    let request = ada
        .request(Method::POST, "")
        .header("content-type", "application/json");
    assert_eq!(sent(request.body(escaped)).await.status, 201);

    let longer = json!({"date": "2026-11-24", "title": "", "body": format!("{longest}x")});
    let answer = ada.create(&longer).await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(answer.pointers(), ["#/body"]);
}

#[tokio::test]
async fn a_request_over_four_mebibytes_is_refused_before_it_is_sent() {
    let ada = Journal::of_a_new_person().await;
    let address = Addresses::of_the_test_run()
        .api
        .journal
        .replace("http://", "");
    let mut socket = TcpStream::connect(&address)
        .await
        .expect("the journal listens");
    let head = format!(
        "POST /api/entries HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        ada.token(),
        (4 << 20) + 1
    );
    socket
        .write_all(head.as_bytes())
        .await
        .expect("the header is taken");
    let mut answer = vec![0; 12];
    socket
        .read_exact(&mut answer)
        .await
        .expect("the journal answers");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
}

#[tokio::test]
async fn every_wrong_part_is_named_and_nothing_of_it_is_repeated() {
    let ada = Journal::of_a_new_person().await;
    let long = "hunter2".repeat(40);
    let draft_with = |field: &str, value: Value| {
        let mut draft = json!({"date": "2026-11-24", "title": "", "body": ""});
        draft[field] = value;
        draft
    };
    let cases: [(Value, &[&str]); 12] = [
        (json!({}), &["#/body", "#/date", "#/title"]),
        (
            json!({"date": "2026-11-24", "title": long, "body": 7}),
            &["#/body", "#/title"],
        ),
        (draft_with("date", json!("2026-02-30")), &["#/date"]),
        (draft_with("date", json!("0000-01-01")), &["#/date"]),
        (draft_with("date", json!("-0001-01-01")), &["#/date"]),
        (
            draft_with("date", json!("2026-11-24T00:00:00Z")),
            &["#/date"],
        ),
        (draft_with("mood", json!(0)), &["#/mood"]),
        (draft_with("mood", json!(7.5)), &["#/mood"]),
        (draft_with("mood", json!(300)), &["#/mood"]),
        (
            draft_with("tags", json!(["", long, "a", "a"])),
            &["#/tags/0", "#/tags/1", "#/tags/3"],
        ),
        (draft_with("tags", json!(["a", "a"])), &["#/tags/1"]),
        (draft_with("id", json!(long)), &["#/id"]),
    ];
    for (wrong, pointers) in cases {
        let answer = ada.create(&wrong).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{wrong}"
        );
        assert_eq!(answer.pointers(), pointers, "{wrong}");
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    }
    assert_eq!(
        ada.list("").await.json()["entries"],
        json!([]),
        "nothing was stored"
    );
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let ada = Journal::of_a_new_person().await;
    let cases = [
        ("application/json", "", (400, "malformed_json")),
        ("application/json", "{\"date\":", (400, "malformed_json")),
        (
            "application/json",
            r#"{"title":"\ud800"}"#,
            (400, "malformed_json"),
        ),
        (
            "application/json",
            r#"{"title":"a","title":"b"}"#,
            (400, "malformed_json"),
        ),
        ("application/json", "[]", (400, "invalid_request")),
        ("text/plain", "{}", (415, "unsupported_media_type")),
    ];
    for (media_type, body, (status, code)) in cases {
        let request = ada
            .request(Method::POST, "")
            .header("content-type", media_type)
            .body(body);
        assert_eq!(
            sent(request).await.problem(),
            (status, code.to_owned()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn twenty_first_writes_at_once_are_all_readable() {
    let ada = Journal::of_a_new_person().await;
    let mut writes = JoinSet::new();
    for number in 0..20 {
        let ada = ada.clone();
        writes.spawn(async move {
            let title = format!("entry {number}");
            (ada.write(&draft("2026-11-24", &title)).await, title)
        });
    }
    for (id, title) in writes.join_all().await {
        let read = ada.read(&id).await;
        assert_eq!(read.status, 200, "{}", read.text);
        assert_eq!(read.json()["title"], title);
    }
    let listed = ada.list("").await.json();
    assert_eq!(listed["entries"].as_array().map(Vec::len), Some(20));
    assert_eq!(listed["unreadable"], json!([]));
}
