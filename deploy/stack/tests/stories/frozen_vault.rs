//! A vault that stands still at the worst moment: while it holds what its replicas take in turns.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use stack::{Failure, Person, Service, Stack, until};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::launcher::{descendants_of, send};

/// A turn comes every two seconds, and whoever stands still has five.
const LIMIT: Duration = Duration::from_secs(20);
/// Short of those five.
const SOON: Duration = Duration::from_secs(3);

/// A session with the vault's database, which goes on until its input ends.
fn session(stack: &Stack) -> Child {
    let url = stack.addresses().database.of(Service::Vault);
    let mut psql = Command::new("psql");
    psql.args([url, "-qAt"]).kill_on_drop(true);
    psql.stdin(Stdio::piped()).stdout(Stdio::null());
    psql.spawn().unwrap()
}

/// Waits until the database says yes.
async fn until_true(
    stack: &Stack,
    what: &str,
    question: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let url = stack.addresses().database.of(Service::Vault);
    until(what, limit, async || {
        let asked = Command::new("psql")
            .args([url, "-qAtc", question])
            .output()
            .await;
        let answer = String::from_utf8(asked.unwrap().stdout).unwrap();
        (answer.trim() == "t").then_some(()).ok_or(answer)
    })
    .await
}

const HAS_THE_LOCK: &str = "SELECT EXISTS (
    SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO replicas%'
      AND locktype = 'advisory' AND granted)";
const HOLDS_IT_IDLY: &str = "SELECT EXISTS (
    SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE state = 'idle in transaction' AND locktype = 'advisory' AND granted)";
const IS_FREE: &str = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')";

/// Stops the vault of that number in the middle of its turn; `false` when it had just given up waiting.
async fn stopped_in_its_turn(stack: &Stack, vault: u32) -> bool {
    // It has the lock of all replicas, and waits for its row.
    let mut blocking = session(stack);
    let input = blocking.stdin.as_mut().unwrap();
    let locking = b"BEGIN; SELECT FROM replicas FOR UPDATE;\n";
    input.write_all(locking).await.unwrap();
    until_true(stack, "a vault in its turn", HAS_THE_LOCK, LIMIT)
        .await
        .unwrap();
    send(vault, Signal::STOP);
    // It gets its row, and nobody is there to go on.
    drop(blocking.stdin.take());
    blocking.wait().await.unwrap();
    let idle = until_true(stack, "nobody", HOLDS_IT_IDLY, SOON).await;
    if idle.is_err() {
        send(vault, Signal::CONT);
    }
    idle.is_ok()
}

#[tokio::test]
async fn a_vault_that_stands_still_does_not_hold_up_the_others() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let id = ada.write("Before", "Dear diary").await;
    let vault = descendants_of(std::process::id())
        .into_iter()
        .find(|seen| seen.name().starts_with("vault-service"))
        .unwrap();
    let mut tries = 0;
    while !stopped_in_its_turn(&stack, vault.pid()).await {
        tries += 1;
        assert!(tries < 5, "it never stands still with the lock");
    }
    let free = until_true(&stack, "the lock free", IS_FREE, LIMIT);
    free.await.unwrap();

    send(vault.pid(), Signal::CONT);
    let read = until("the vault goes on", LIMIT, async || {
        let read = ada.read(&id).await;
        match read.status {
            200 => Ok(read),
            status => Err(status),
        }
    });
    assert_eq!(read.await.unwrap().text("/title"), "Before");
}
