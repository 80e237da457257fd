//! A Postgres that hangs: its connections stay open and nothing comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use stack::{Answer, Failure, Person, Stack, until};
use tokio::task::JoinSet;

use crate::launcher::{Seen, descendants_of, send};

/// Three seconds for a connection and five for its use, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(12);

/// Every process of this one Postgres; they go on when it is dropped.
struct Frozen(Vec<u32>);

impl Frozen {
    fn now(stack: &Stack) -> Self {
        let all = descendants_of(std::process::id());
        let postgres = all
            .iter()
            .filter(|seen| seen.name().starts_with("postgres"))
            .filter(|seen| works_in(seen, stack.folder()));
        let frozen = Self(postgres.map(Seen::pid).collect());
        assert!(frozen.0.len() > 3, "a server and its workers");
        for pid in &frozen.0 {
            send(*pid, Signal::STOP);
        }
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            send(*pid, Signal::CONT);
        }
    }
}

/// Postgres works in its data folder.
fn works_in(seen: &Seen, folder: &Path) -> bool {
    let link = format!("/proc/{}/cwd", seen.pid());
    std::fs::read_link(link).is_ok_and(|place| place.starts_with(folder))
}

#[tokio::test]
async fn who_asks_while_postgres_hangs_is_told_soon_and_finds_everything_as_it_was() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Arc::new(Person::new(stack.addresses(), "ada").await);
    let id = ada.write("before", "before").await;
    let credentials = || json!({ "email": ada.email, "password": ada.password });

    let frozen = Frozen::now(&stack);
    let started = Instant::now();
    // More than there are connections.
    let reading: JoinSet<_> = (0..30)
        .map(|_| {
            let (ada, id) = (Arc::clone(&ada), id.clone());
            async move { ada.read(&id).await }
        })
        .collect();
    let (read, rewritten, me, login) = tokio::join!(
        reading.join_all(),
        ada.rewrite(&id, 1, "while", "while"),
        ada.identity(Method::GET, "/me", None),
        ada.identity(Method::POST, "/login", Some(credentials())),
    );
    let took = started.elapsed();
    assert!(took < SOON, "{took:?}");
    read.iter().for_each(assert_unavailable);
    assert_unavailable(&rewritten);
    assert_unavailable(&me.unwrap());
    assert_unavailable(&login.unwrap());
    drop(frozen);

    let again = async || {
        let entry = ada.read(&id).await;
        let login = ada
            .identity(Method::POST, "/login", Some(credentials()))
            .await?;
        match (entry.status, login.status) {
            (200, 200) => Ok(entry),
            statuses => Err(Failure::new(format!("{statuses:?}"))),
        }
    };
    let entry = until("an answer", SOON, again).await.unwrap();
    // The edit was cut off before its COMMIT.
    assert_eq!(
        (entry.text("/title"), entry.text("/body")),
        ("before", "before")
    );
    let rewritten = ada.rewrite(&id, 1, "after", "after").await;
    assert_eq!(rewritten.status, 200, "{}", rewritten.body);
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.text("/code")),
        (503, "unavailable"),
        "{}",
        answer.body
    );
    assert!(answer.headers.contains_key("retry-after"));
}
