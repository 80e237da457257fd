//! Postgres crashes: what it was told to keep is there again, once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use shared::{clock::Clock, random};
use stack::{Answer, Failure, Person, Service, Stack};
use tokio::time::sleep;
use tokio_postgres::NoTls;

const CRASHES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn whatever_was_acknowledged_to_writers_is_there_once_when_postgres_crashes_under_them() {
    let mut stack = Stack::for_a_test().durable().start().await.unwrap();
    let ada = Arc::new(Person::new(stack.addresses(), "ada").await);
    let ends = Arc::new(AtomicBool::new(false));
    let edited = ada.write("edited", "0").await;
    let writers: Vec<_> = (0..3)
        .map(|number| tokio::spawn(write(Arc::clone(&ada), number, Arc::clone(&ends))))
        .collect();
    let editing = [
        (format!("/entries/{edited}"), "body"),
        ("/feels/2026-11-24/morning".to_owned(), "note"),
    ]
    .map(|(path, field)| tokio::spawn(edit(Arc::clone(&ada), path, field, Arc::clone(&ends))));
    let deleting = tokio::spawn(delete(Arc::clone(&ada), Arc::clone(&ends)));
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
    assert!(acknowledged.len() > 3 * CRASHES, "{acknowledged:?}");
    for edited in editing {
        let Edited { path, field, times } = edited.await.unwrap();
        assert!(times > CRASHES, "{path}: {times}");
        let kept = ada.journal(Method::GET, &path, None).await.unwrap().body;
        let last = kept.get(field).and_then(Value::as_str);
        assert_eq!(last, Some(times.to_string().as_str()), "{path}");
        // The entry was one revision before.
        let first = usize::from(field == "body");
        let revision = kept.get("revision").and_then(Value::as_u64);
        assert_eq!(
            revision,
            u64::try_from(times + first).ok(),
            "{path}: each once"
        );
    }
    assert!(deleting.await.unwrap() > CRASHES);
    acknowledged.push("edited".to_owned());
    acknowledged.sort();
    let mut kept = titles(&ada).await;
    kept.sort();
    assert_eq!(kept, acknowledged);
    let mut followed = followed(&ada).await;
    followed.sort();
    assert_eq!(followed, acknowledged);
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
async fn attempt(ada: &Person, title: &str, key: &str) -> Result<Answer, String> {
    let body = json!({ "date": "2026-11-24", "title": title, "body": "kept" });
    acknowledged(ada.journal_once(key, "/entries", body).await, &[201])
}

/// The answer, unless there was none, or the journal says that it cannot now.
fn acknowledged(answer: Result<Answer, Failure>, as_one_of: &[u16]) -> Result<Answer, String> {
    let answer = answer.map_err(|failure| failure.to_string())?;
    let is_one = as_one_of.contains(&answer.status);
    assert!(is_one || answer.status == 503, "{}", answer.body);
    if is_one {
        Ok(answer)
    } else {
        Err(answer.body.to_string())
    }
}

struct Edited {
    path: String,
    field: &'static str,
    times: usize,
}

/// Replaces one thing again and again, each time until it is acknowledged. The same content twice is one revision.
async fn edit(
    ada: Arc<Person>,
    path: String,
    field: &'static str,
    ends: Arc<AtomicBool>,
) -> Edited {
    let mut times = 0;
    while !ends.load(Ordering::Relaxed) {
        times += 1;
        let content = match field {
            "body" => json!({ "date": "2026-11-24", "title": "edited", "body": times.to_string() }),
            field => json!({ field: times.to_string() }),
        };
        let begun = Instant::now();
        loop {
            let put = ada.journal(Method::PUT, &path, Some(content.clone()));
            match acknowledged(put.await, &[200]) {
                Ok(_) => break,
                Err(why) => assert!(begun.elapsed() < PATIENCE, "{why}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Edited { path, field, times }
}

/// Writes entries and deletes each until that is acknowledged; how many. A deletion without an answer may have been done.
async fn delete(ada: Arc<Person>, ends: Arc<AtomicBool>) -> usize {
    let mut deleted = 0;
    while !ends.load(Ordering::Relaxed) {
        let key = random::uuid_v7(Clock::system().now()).to_string();
        let begun = Instant::now();
        let mut id: Option<String> = None;
        loop {
            let attempted = match &id {
                None => attempt(&ada, "to be deleted", &key).await,
                Some(path) => {
                    let gone = ada.journal(Method::DELETE, path, None).await;
                    acknowledged(gone, &[204, 404])
                }
            };
            match attempted {
                Ok(made) if id.is_none() => id = Some(format!("/entries/{}", made.text("/id"))),
                Ok(_) => break,
                Err(why) => assert!(begun.elapsed() < PATIENCE, "{why}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
        deleted += 1;
    }
    deleted
}

/// The titles of the entries that somebody has who follows the changes from the beginning.
async fn followed(ada: &Person) -> Vec<String> {
    let mut entries = HashMap::new();
    let mut path = "/changes?limit=100".to_owned();
    loop {
        let page = ada.journal(Method::GET, &path, None).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        let changes = page.body.pointer("/changes").and_then(Value::as_array);
        for change in changes.into_iter().flatten() {
            let text = |at: &str| change.pointer(at).and_then(Value::as_str);
            let id = text("/id").unwrap_or_default().to_owned();
            match text("/entry/title") {
                Some(title) => entries.insert(id, title.to_owned()),
                None => entries.remove(&id),
            };
        }
        if page.body.pointer("/more") != Some(&Value::Bool(true)) {
            return entries.into_values().collect();
        }
        path = format!("/changes?limit=100&since={}", page.text("/next"));
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
