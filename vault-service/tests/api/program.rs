//! The program itself: its document, its memory settings, and what it writes to its log.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stack::{suite_log, until};
use tokio::task::{JoinHandle, JoinSet};

use crate::{
    client::item,
    world::{MASTER_KEY, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_vault-service");

#[test]
fn the_api_document_needs_no_settings_and_lists_every_refusal() {
    let output = Command::new(PROGRAM)
        .arg("openapi")
        .env_clear()
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let create = &document["paths"]["/v1/data-keys"]["post"]["responses"];
    let examples = |status: &str| {
        let examples = &create[status]["content"]["application/problem+json"]["examples"];
        examples
            .as_object()
            .map(|map| map.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    assert_eq!(
        examples("401"),
        [
            "certificate_mismatch",
            "invalid_service_token",
            "invalid_user_token",
            "service_token_expired",
            "service_token_for_another_request",
            "unauthorized",
            "user_token_expired",
            "wrong_token_type",
        ]
    );
    assert_eq!(
        examples("403"),
        ["not_allowed", "user_token_mismatch", "user_token_required"]
    );
    assert_eq!(examples("409"), ["shred_pending", "slot_damaged"]);
    assert_eq!(examples("410"), ["shredded"]);
}

#[tokio::test]
async fn the_program_logs_causes_with_ids_only_and_stops_with_0() {
    let world = World::new().await;
    let (mut program, log) = start(&world);
    let vault = listening(&log).await;
    let ada = somebody();
    let journal = world.journal_for(&vault, ada);
    let (mut wrapped, key) = journal.created(ada, "entries").await;
    wrapped[115] ^= 1;
    let (status, _) = journal.unwrap_one(ada, "entries", &wrapped).await;
    assert_eq!(status, "wrapped_key_refused");
    wrapped[40] ^= 1;
    journal.unwrap_one(ada, "entries", &wrapped).await;
    stop(&mut program).await;

    let log = fs::read_to_string(&log).expect("the log");
    let refused: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .filter(|line: &Value| line["message"] == "refused")
        .collect();
    let causes: Vec<_> = refused
        .iter()
        .map(|line| line["cause"].as_str().expect("a cause"))
        .collect();
    assert_eq!(causes, ["tampered ciphertext", "wrong key or context"]);
    assert_eq!(refused[0]["subject"], ada.to_string());
    let secrets = [
        BASE64_URL_SAFE_NO_PAD.encode(&key),
        hex::encode(&key),
        BASE64_URL_SAFE_NO_PAD.encode(&wrapped[36..]),
        hex::encode(&wrapped[36..]),
        MASTER_KEY.to_owned(),
        "eyJ".to_owned(),
    ];
    for secret in secrets {
        assert!(!log.contains(&secret), "the log holds {secret}");
    }
}

#[tokio::test]
async fn whatever_a_vault_gave_away_before_it_was_killed_is_on_record() {
    let world = World::new().await;
    let (mut program, log) = start(&world);
    let vault = listening(&log).await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let given = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (identity, given) = (identity.clone(), Arc::clone(&given));
        let body = json!({ "items": [item(ada, "account", &wrapped)] });
        asking.spawn(async move {
            while let Ok(answer) = identity.try_post("/v1/data-keys/unwrap", &body).await {
                given.fetch_add(usize::from(answer.status == 200), Ordering::SeqCst);
            }
        });
    }
    until("some answers", LIMIT, async || {
        match given.load(Ordering::SeqCst) {
            few @ 0..200 => Err(few),
            _ => Ok(()),
        }
    })
    .await
    .expect("it answers");
    program.0.kill().expect("it runs");
    asking.join_all().await;
    let sql = "SELECT count(*) FROM audit_records WHERE operation = 'unwrap' AND outcome = 'ok'";
    let recorded: i64 = world
        .db()
        .await
        .query_one(sql, &[])
        .await
        .expect("a count")
        .get(0);
    let given = i64::try_from(given.load(Ordering::SeqCst)).expect("a small number");
    assert!(
        recorded >= given,
        "{given} keys were given away, {recorded} are on record"
    );
    // And the history that was cut off in the middle is whole.
    let verified = Command::new(PROGRAM)
        .args(["audit", "verify"])
        .env_clear()
        .envs(&world.environment)
        .output()
        .expect("it runs");
    assert!(verified.status.success(), "{verified:?}");
}

/// Killed when dropped, so that a test that fails leaves nothing behind.
pub(crate) struct Program(pub(crate) Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail for a program that has ended, which is what they are for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(world: &World) -> (Program, PathBuf) {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").env_clear().envs(&world.environment);
    start_as(command)
}

/// `serve` with its log where the run searches.
pub(crate) fn start_as(mut command: Command) -> (Program, PathBuf) {
    let log = suite_log::path("vault-program.log");
    let child = command
        .stdout(File::create(&log).expect("a log file"))
        .spawn()
        .expect("the program starts");
    (Program(child), log)
}

/// The addresses from the program's own line about them.
pub(crate) async fn listening(log: &Path) -> Vault {
    let line = until("listening", LIMIT, async || {
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .into_iter()
            .find(|line| line["message"] == "listening")
            .ok_or(text.clone())
    })
    .await
    .expect("it listens");
    let address = |name: &str| -> SocketAddr {
        line[name]
            .as_str()
            .expect("an address")
            .parse()
            .expect("an address")
    };
    let running: JoinHandle<_> = tokio::spawn(async { Ok(()) });
    let (trigger, _) = shared::serve::Shutdown::manual();
    Vault {
        api: address("api"),
        ops: address("ops"),
        running,
        trigger,
    }
}

pub(crate) async fn stop(program: &mut Program) {
    let pid = Pid::from_child(&program.0);
    kill_process(pid, Signal::TERM).expect("it runs");
    let status = until("stopped", LIMIT, async || match program.0.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("it stops");
    assert_eq!(status.code(), Some(0));
}
