//! The master key is exchanged while people read and write, and the old one is destroyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stack::{Addresses, Person, Service, Stack, until};
use tokio::process::Command;
use tokio::task::{JoinSet, LocalSet, spawn_local};

/// Longer than two passes over all keys take, with the minute between them, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(150);

const NEWER: &str = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";

/// What one who goes on all the while has asked for.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads, writes, and asks identity for what is sealed there. Returns everything that was written.
async fn goes_on(mut person: Person, load: Arc<Load>) -> (Person, Vec<String>) {
    let mut written = Vec::new();
    while !load.is_over() {
        let id = person.write("Meanwhile", "Dear diary").await;
        assert_eq!(person.read(&id).await.text("/title"), "Meanwhile");
        written.push(id);
        let me = person.identity(Method::GET, "/me", None).await.unwrap();
        assert_eq!((me.status, me.text("/email")), (200, person.email.as_str()));
        person.log_in().await.unwrap();
        load.answered();
        // There are two cores for everybody.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (person, written)
}

/// People who come: each gets keys that did not exist before.
async fn come(addresses: Addresses, load: Arc<Load>) -> Vec<(Person, Vec<String>)> {
    let mut people = Vec::new();
    while !load.is_over() {
        let name = format!("newcomer{}", people.len());
        let person = Person::new(&addresses, &name).await;
        let id = person.write("First day", "Dear diary").await;
        people.push((person, vec![id]));
        load.answered();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    people
}

async fn sql(stack: &Stack, service: Service, statement: &str) {
    let url = stack.addresses().database.of(service);
    let done = Command::new("psql")
        .args([url, "-qc", statement])
        .status()
        .await;
    assert!(done.unwrap().success(), "{statement}");
}

async fn version(stack: &Stack, number: usize) -> Value {
    let told = stack.operate(&["master-keys"]).await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let versions = told.get("master_keys").and_then(Value::as_array).unwrap();
    versions.get(number - 1).cloned().unwrap_or_default()
}

async fn has_come_to(stack: &Stack, number: usize, state: &str) {
    until(state, LIMIT, async || {
        let version = version(stack, number).await;
        let is = version.get("state").and_then(Value::as_str) == Some(state);
        is.then_some(()).ok_or(version)
    })
    .await
    .unwrap();
}

/// Every key that exists was made long enough ago to be stored where it belongs.
async fn a_while_later(stack: &Stack) {
    let older = "UPDATE data_keys SET created_at = created_at - interval '5 minutes'";
    sql(stack, Service::Vault, older).await;
}

/// Both owners have wrapped anew and stored what they have, while everybody goes on.
async fn nothing_is_left(stack: &Stack) {
    until("nothing left behind", LIMIT, async || {
        a_while_later(stack).await;
        let version = version(stack, 1).await;
        let free =
            version.get("slots") == Some(&json!(0)) && version.get("data_keys") == Some(&json!([]));
        tokio::time::sleep(Duration::from_millis(500)).await;
        free.then_some(()).ok_or(version)
    })
    .await
    .unwrap();
}

async fn all_is_readable(people: &[(Person, Vec<String>)]) {
    for (person, written) in people {
        for id in written.iter().take(3).chain(written.last()) {
            let read = person.read(id).await;
            assert_eq!(read.status, 200, "{} {id}: {}", person.email, read.body);
        }
        let me = person.identity(Method::GET, "/me", None).await.unwrap();
        assert_eq!(me.text("/email"), person.email);
    }
}

#[tokio::test]
async fn a_master_key_is_exchanged_under_load_and_the_old_one_destroyed_and_nobody_notices() {
    LocalSet::new().run_until(exchange()).await;
}

async fn exchange() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let file = stack.folder().join("secrets/master_encryption_key");
    let old = std::fs::read_to_string(&file).unwrap();
    let load = Arc::new(Load::default());
    let mut working = JoinSet::new();
    for name in ["ada", "bob", "eve"] {
        let person = Person::new(stack.addresses(), name).await;
        working.spawn_local(goes_on(person, Arc::clone(&load)));
    }
    let coming = spawn_local(come(stack.addresses().clone(), Arc::clone(&load)));
    until("everybody at work", LIMIT, async || {
        let answered = load.answered.load(Ordering::Relaxed);
        (answered > 20).then_some(()).ok_or(answered)
    })
    .await
    .unwrap();

    let newer = format!("2:{NEWER}\n1:{}\n", old.trim());
    std::fs::write(&file, newer).unwrap();
    has_come_to(&stack, 2, "active").await;
    nothing_is_left(&stack).await;
    stack
        .operate(&["schedule-destruction", "1", "--wait-days", "7"])
        .await
        .unwrap();
    let due = "UPDATE master_keys SET destroy_at = now() WHERE destroy_at IS NOT NULL";
    sql(&stack, Service::Vault, due).await;
    has_come_to(&stack, 1, "destroyed").await;

    load.over.store(true, Ordering::Relaxed);
    // Any request that failed has ended its worker.
    let mut people = coming.await.unwrap();
    people.extend(working.join_all().await);
    all_is_readable(&people).await;

    // Without the old key, and without anything in memory.
    for service in Service::ALL {
        stack.stop_service(service).await.unwrap();
    }
    let newest = std::fs::read_to_string(&file).unwrap();
    let newest = newest.lines().next().unwrap().to_owned();
    std::fs::write(&file, newest).unwrap();
    for service in Service::ALL {
        stack.start_service(service).await.unwrap();
    }
    all_is_readable(&people).await;
    for (person, _) in &mut people {
        person.log_in().await.unwrap();
    }
}
