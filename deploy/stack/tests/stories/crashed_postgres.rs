//! Postgres crashes: what it was told to keep is there again, once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use shared::{clock::Clock, random};
use stack::{Person, Service, Stack};
use tokio::time::sleep;
use tokio_postgres::NoTls;

const CRASHES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn whatever_was_acknowledged_to_writers_is_there_once_when_postgres_crashes_under_them() {
    let mut stack = Stack::for_a_test().durable().start().await.unwrap();
    let ada = Arc::new(Person::new(stack.addresses(), "ada").await);
    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|number| tokio::spawn(write(Arc::clone(&ada), number, Arc::clone(&ends))))
        .collect();
    for _ in 0..CRASHES {
        sleep(Duration::from_millis(700)).await;
        stack.crash_postgres().await.unwrap();
        sleep(Duration::from_millis(300)).await;
        stack.start_postgres().await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    ends.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    acknowledged.sort();
    assert!(acknowledged.len() > 4 * CRASHES, "{acknowledged:?}");

    let mut kept = titles(&ada).await;
    kept.sort();
    assert_eq!(kept, acknowledged);
    stack.stop().await.unwrap();
}

/// Writes one entry after the other, each until it is acknowledged; their titles.
async fn write(ada: Arc<Person>, writer: usize, ends: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let title = format!("{writer}.{:04}", acknowledged.len());
        let key = random::uuid_v7(Clock::system().now()).to_string();
        let begun = Instant::now();
        while let Err(why) = attempt(&ada, &title, &key).await {
            assert!(begun.elapsed() < PATIENCE, "{why}");
            sleep(Duration::from_millis(50)).await;
        }
        acknowledged.push(title);
    }
    acknowledged
}

/// Asks for it once. Whatever became of an attempt without an answer, the next one is the same request.
async fn attempt(ada: &Person, title: &str, key: &str) -> Result<(), String> {
    let body = json!({ "date": "2026-11-24", "title": title, "body": "kept" });
    let answer = ada.journal_once(key, "/entries", body).await;
    let answer = answer.map_err(|failure| failure.to_string())?;
    assert!([201, 503].contains(&answer.status), "{}", answer.body);
    if answer.status == 201 {
        Ok(())
    } else {
        Err(answer.body.to_string())
    }
}

async fn titles(ada: &Person) -> Vec<String> {
    let mut titles = Vec::new();
    let mut path = "/entries?limit=100".to_owned();
    loop {
        let page = ada.journal(Method::GET, &path, None).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        let entries = page.body.pointer("/entries").and_then(Value::as_array);
        let title = |entry: &Value| entry.pointer("/title")?.as_str().map(str::to_owned);
        titles.extend(entries.into_iter().flatten().filter_map(title));
        match page.text("/next") {
            "" => return titles,
            cursor => path = format!("/entries?limit=100&after={cursor}"),
        }
    }
}

#[tokio::test]
async fn who_opened_a_key_is_on_record_even_if_a_careless_postgres_crashes_right_after() {
    // In a test a commit does not wait for the log to be written, which is done every ten seconds.
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let id = ada.write("mine", "and nobody else's").await;
    for opened in 1..=CRASHES {
        stack.stop_postgres().await.unwrap();
        stack.start_postgres().await.unwrap();
        // It has no key in memory: the vault has to open one.
        stack.start_service(Service::Journal).await.unwrap();
        let before = records(&stack).await;
        assert_eq!(ada.read(&id).await.status, 200);
        stack.crash_postgres().await.unwrap();
        stack.start_postgres().await.unwrap();
        let after = records(&stack).await;
        assert!(after > before, "the {opened}. time: {before}, then {after}");
    }
    stack.stop().await.unwrap();
}

/// How many keys were opened, by the audit.
async fn records(stack: &Stack) -> i64 {
    let url = stack.addresses().database.of(Service::Vault);
    let (database, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "SELECT count(*) FROM audit_records WHERE operation = 'unwrap' AND outcome = 'ok'";
    database.query_one(sql, &[]).await.unwrap().get(0)
}
