//! `GET /api/export`: all of a journal, or visibly not all of it.

use std::{collections::BTreeMap, io::Read as _};

use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::journal::{Journal, database, draft, log, sent};

/// A file in bytes, or how far it came.
pub(crate) async fn exported(journal: &Journal, format: &str) -> Result<Vec<u8>, Vec<u8>> {
    let path = format!("/export?format={format}");
    let response = journal.elsewhere(Method::GET, &path).send().await;
    let response = response.expect("the journal answers");
    assert_eq!(response.status().as_u16(), 200);
    whole(response).await
}

async fn whole(mut response: Response) -> Result<Vec<u8>, Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(bytes),
        }
    }
}

pub(crate) fn lines(file: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(file).expect("a file is UTF-8");
    assert!(text.ends_with('\n'), "the last line has an end");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[tokio::test]
async fn a_file_begins_with_a_header_and_ends_with_a_count() {
    let ada = Journal::of_a_new_person().await;
    let empty = lines(&exported(&ada, "ndjson").await.expect("all of it"));
    assert_eq!(empty.len(), 2);
    let mut written = BTreeMap::new();
    for number in 0..3 {
        let entry = ada.create(&draft("2026-11-24", &format!("{number}"))).await;
        written.insert(entry.json()["id"].to_string(), entry.json());
    }
    let answer = sent(ada.elsewhere(Method::GET, "/export")).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let name = answer.header("content-disposition").unwrap_or_default();
    assert!(
        name.starts_with("attachment; filename=\"journal-20"),
        "{name}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        answer.text.starts_with("{\"type\":\"header\","),
        "{}",
        answer.text
    );

    let lines = lines(answer.text.as_bytes());
    let (first, last) = (&lines[0], &lines[4]);
    assert_eq!(
        (&first["format"], &first["version"]),
        (&"keystead-journal".into(), &1.into())
    );
    let counts = json!({"pillar": 0, "pillar_order": 0, "score": 0, "entry": 3,
                        "morning": 0, "evening": 0, "week_note": 0, "revision": 0});
    assert_eq!(*last, json!({"type": "trailer", "records": counts}));
    for line in &lines[1..4] {
        let mut entry = line.clone();
        let kind = entry
            .as_object_mut()
            .and_then(|members| members.remove("type"));
        assert_eq!(kind, Some("entry".into()));
        assert_eq!(written.remove(&entry["id"].to_string()), Some(entry));
    }
    let refused = sent(ada.elsewhere(Method::GET, "/export?format=pdf")).await;
    assert_eq!(refused.pointers(), ["query:format"]);
}

#[tokio::test]
async fn many_entries_come_each_once_while_others_are_written() {
    let ada = Journal::of_a_new_person().await;
    let mut ids = Vec::new();
    for number in 0..450 {
        ids.push(ada.write(&draft("2026-11-24", &number.to_string())).await);
    }
    let (writer, some) = (ada.clone(), ids.clone());
    let writing = tokio::spawn(async move {
        for id in some.iter().step_by(3) {
            // To another day: a list would have it in another place.
            writer
                .replace(id, &draft("1999-01-01", "moved"), None)
                .await;
        }
    });
    for _ in 0..3 {
        let lines = lines(&exported(&ada, "ndjson").await.expect("all of it"));
        let entries = lines.iter().filter(|it| it["type"] == "entry");
        let exported: Vec<_> = entries.filter_map(|it| it["id"].as_str()).collect();
        assert_eq!(exported, ids);
    }
    writing.await.expect("it wrote");
}

#[tokio::test]
async fn an_archive_has_a_document_for_each_entry() {
    let ada = Journal::of_a_new_person().await;
    let first = ada.write(&draft("2026-11-24", "a \"quoted\" title")).await;
    let second = ada.write(&draft("2025-01-02", "\u{202e}../../etc")).await;
    let bytes = exported(&ada, "markdown").await.expect("all of it");
    let archive = rawzip::ZipArchive::from_slice(&bytes).expect("an archive");
    let mut documents = BTreeMap::new();
    for entry in archive.entries() {
        let entry = entry.expect("the directory is whole");
        let name = String::from_utf8(entry.file_path().as_ref().to_vec()).expect("UTF-8");
        let place = entry.wayfinder();
        let stored = archive.get_entry(place).expect("it is there");
        let mut text = String::new();
        let mut reader = stored.verifying_reader(stored.data());
        reader.read_to_string(&mut text).expect("its sum is right");
        documents.insert(name, text);
    }
    let names: Vec<_> = documents.keys().cloned().collect();
    let expected = [
        format!("2025/2025-01-02-{second}.md"),
        format!("2026/2026-11-24-{first}.md"),
    ];
    assert_eq!(names, expected);
    let text = &documents[&expected[1]];
    assert!(
        text.contains("\ntitle: \"a \\\"quoted\\\" title\"\n"),
        "{text}"
    );
    assert!(text.contains("\nmood: 7\n"), "{text}");
    assert!(
        text.ends_with("---\n\nThe body of a \"quoted\" title.\n"),
        "{text}"
    );
    let cut = &bytes[..bytes.len() - 30];
    assert!(rawzip::ZipArchive::from_slice(cut).is_err());
}

#[tokio::test]
async fn an_entry_that_does_not_open_breaks_an_export_off() {
    let ada = Journal::of_a_new_person().await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let mut long = draft("2026-11-24", &number.to_string());
        long["body"] = "x".repeat(400_000).into();
        ids.push(ada.write(&long).await);
    }
    let tamper = async |id: &str| {
        let changed = database()
            .await
            .execute(
                "UPDATE entries SET body_sealed = title_sealed WHERE entry_id = $1",
                &[&id.parse::<Uuid>().expect("an id is a UUID")],
            )
            .await;
        assert_eq!(changed.expect("the attack is valid SQL"), 1);
    };
    tamper(&ids[7]).await;
    for format in ["ndjson", "markdown"] {
        let cut = exported(&ada, format).await.expect_err("it breaks off");
        assert!(!String::from_utf8_lossy(&cut).contains("\"trailer\""));
        assert!(rawzip::ZipArchive::from_slice(&cut).is_err());
    }
    let log = log();
    let told = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "an export broke off")
        .filter(|line| line["user.id"] == ada.user_id.to_string());
    assert_eq!(told.clone().count(), 2);
    assert!(told.clone().all(|line| line["code"] == "record_unreadable"));
    // Where nothing has been sent yet, there is a better answer.
    tamper(&ids[0]).await;
    let refused = sent(ada.elsewhere(Method::GET, "/export")).await;
    assert_eq!(refused.problem(), (409, "record_unreadable".to_owned()));
    // And a way out.
    for id in [&ids[0], &ids[7]] {
        assert_eq!(ada.delete(id, None).await.status, 204);
    }
    assert!(exported(&ada, "ndjson").await.is_ok());
}

#[tokio::test]
async fn a_person_has_two_exports_at_once_and_other_people_have_theirs() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    for number in 0..12 {
        let mut long = draft("2026-11-24", &number.to_string());
        long["body"] = "x".repeat(1 << 20).into();
        ada.write(&long).await;
    }
    // Nobody takes them yet.
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let response = ada.elsewhere(Method::GET, "/export").send().await;
        waiting.push(response.expect("the journal answers"));
    }
    let third = sent(ada.elsewhere(Method::GET, "/export")).await;
    assert_eq!(third.problem(), (409, "export_in_progress".to_owned()));
    assert!(exported(&bob, "ndjson").await.is_ok());
    for response in waiting {
        let file = whole(response).await.expect("all of it");
        assert_eq!(lines(&file).len(), 14);
    }
}
