//! Attempts to open a vault, and to close it, by whoever does not wait, is not allowed, or comes while nothing can be recorded.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use shared::postgres::Connection;
use stack::until;
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Shredder},
    seal_keyring::{keyring, split},
    sealing::{
        PHRASE, opens_with_passphrase, ready, share, unseal, world_with_passphrase,
        world_with_shares,
    },
    world::{MASTER_KEY, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_mins(1);

fn guess() -> Value {
    json!({"passphrase": "a guess"})
}

async fn is_sealed(world: &World, vault: &Vault) -> bool {
    let operator = world.caller(vault, "operator");
    let status = operator.get("/v1/seal-status").await;
    status.body["sealed"].as_bool().expect("a truth")
}

/// What the audit has of all that is no key, oldest first.
async fn told(world: &World) -> Vec<String> {
    let sql = "SELECT coalesce(caller, 'itself') || ' ' || operation || ' ' || outcome
               FROM audit_records JOIN audit_chains USING (chain_id)
               WHERE operation IN ('seal', 'unseal') ORDER BY opened_at, number";
    let rows = world.db().await.query_typed(sql, &[]).await;
    let rows = rows.expect("the audit");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Keeps the audit from being written until it is committed.
const LOCK: &str = "BEGIN; LOCK TABLE audit_records, audit_chains IN ACCESS EXCLUSIVE MODE";

async fn locked(world: &World) -> Connection {
    let db = world.pool.get_for_long().await.expect("the database");
    db.batch_execute(LOCK).await.expect("locked");
    db
}

#[tokio::test]
async fn fifty_wrong_attempts_at_once_are_five() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    let operator = world.shredder(&vault, "operator");
    let mut attempts = JoinSet::new();
    for _ in 0..50 {
        let token = operator.token("POST", "/v1/unseal", &guess());
        let client = operator.client.clone().with_token(&token);
        attempts.spawn(async move { client.post("/v1/unseal", &guess()).await.status });
    }
    let answers = attempts.join_all().await;
    let of = |status: u16| answers.iter().filter(|it| **it == status).count();
    assert_eq!((of(403), of(429)), (5, 45));
}

/// The file asks for so much work that nobody has an answer before they leave.
fn made_slow(world: &World) {
    let file = keyring(world);
    let text = fs::read_to_string(&file).expect("text");
    let slow = text.replace("\"passes\": 3", "\"passes\": 10");
    assert_ne!(slow, text);
    fs::write(&file, slow).expect("written");
}

/// An attempt whose answer is waited for no longer than a refusal takes.
async fn and_leaves(operator: &Shredder) -> Option<Answer> {
    let (path, body) = ("/v1/unseal", guess());
    let token = operator.token("POST", path, &body);
    let client = operator.client.clone().with_token(&token);
    let request = client.request(path).json(&body);
    let request = request.timeout(Duration::from_millis(150));
    Answer::of(request).await.ok()
}

#[tokio::test]
async fn who_does_not_wait_for_the_answer_has_had_an_attempt() {
    let world = world_with_passphrase().await;
    made_slow(&world);
    let vault = world.start().await;
    ready(&vault, 503).await;
    let operator = world.shredder(&vault, "operator");
    let mut left = 0;
    until("a wait", LIMIT, async || {
        match and_leaves(&operator).await {
            Some(answer) if answer.status == 429 => Ok(()),
            Some(answer) => Err(answer.status),
            None => {
                left += 1;
                Err(0)
            }
        }
    })
    .await
    .expect("in time");
    assert!(left >= 1, "nobody left early");
}

#[tokio::test]
async fn nobody_closes_an_open_vault_by_an_attempt_that_cannot_be_recorded() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    opens_with_passphrase(&world, &vault).await;
    let lock = locked(&world).await;
    for (service, body) in [
        ("journal", json!({ "passphrase": PHRASE })),
        ("operator", guess()),
    ] {
        let answer = world.command(&vault, service, "/v1/unseal", body).await;
        assert_eq!(answer.problem(), (503, "unavailable"), "{service}");
        assert!(!is_sealed(&world, &vault).await, "{service} sealed it");
    }
    lock.batch_execute("COMMIT").await.expect("unlocked");
    // They are recorded all the same, without anybody asking.
    until("recorded", LIMIT, async || {
        let told = told(&world).await;
        let all = [
            "journal unseal not_allowed",
            "operator unseal unseal_refused",
        ]
        .iter()
        .all(|wanted| told.iter().any(|it| it == wanted));
        all.then_some(()).ok_or(told.join(", "))
    })
    .await
    .expect("in time");
    let identity = world.caller(&vault, "identity");
    assert_eq!(identity.create(somebody(), "account").await.status, 200);
}

#[tokio::test]
async fn sealing_waits_for_no_record() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    opens_with_passphrase(&world, &vault).await;
    let lock = locked(&world).await;
    let refused = world
        .command(&vault, "journal", "/v1/seal", json!({}))
        .await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert!(!is_sealed(&world, &vault).await);
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!((closed.status, &closed.body["sealed"]), (200, &json!(true)));
    lock.batch_execute("COMMIT").await.expect("unlocked");
    opens_with_passphrase(&world, &vault).await;
    let told = told(&world).await;
    let last = told.iter().rev().take(2).rev();
    let last: Vec<_> = last.map(String::as_str).collect();
    assert_eq!(last, ["operator seal ok", "operator unseal ok"], "{told:?}");
}

#[tokio::test]
async fn a_share_counts_neither_after_a_seal_nor_for_another_keyring() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    for typed in shares[..3].iter().chain([&shares[3]]) {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.body["shares_given"], 0, "{closed:?}");
    let first = share(&world, &vault, &shares[0]).await;
    assert_eq!(first.body["shares_given"], 1);
    let file = keyring(&world);
    fs::remove_file(&file).expect("removed");
    let others = split(&file, MASTER_KEY);
    for (given, typed) in [(1, &others[1]), (2, &others[2]), (0, &others[3])] {
        let answer = share(&world, &vault, typed).await;
        assert_eq!(answer.body["shares_given"], given, "{answer:?}");
    }
    assert!(!is_sealed(&world, &vault).await);
}

#[tokio::test]
async fn wrong_attempts_make_everybody_wait_even_with_the_right_one() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    for _ in 0..5 {
        let wrong = unseal(&world, &vault, json!({"passphrase": "guess"})).await;
        assert_eq!(wrong.problem(), (403, "unseal_refused"));
    }
    let waits = unseal(&world, &vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(waits.problem(), (429, "unseal_limited"));
    assert!((1..=60).contains(&waits.retry_after), "{waits:?}");
}

#[tokio::test]
async fn what_was_tried_while_it_was_sealed_is_in_the_audit_before_anything_else() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    let refused = share(&world, &vault, "keystead-share-of-mine").await;
    assert_eq!(refused.problem(), (403, "unseal_refused"));
    for typed in &shares[..3] {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.status, 200);
    let sql = "SELECT caller, operation, outcome FROM audit_records WHERE operation <> 'begin'
               ORDER BY number";
    let rows = world
        .db()
        .await
        .query_typed(sql, &[])
        .await
        .expect("the audit");
    let told: Vec<_> = rows
        .iter()
        .map(|row| [row.get::<_, &str>(0), row.get(1), row.get(2)].join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "operator unseal unseal_refused",
            "operator unseal share_taken",
            "operator unseal share_taken",
            "operator unseal ok",
            "operator seal ok"
        ]
    );
}

#[tokio::test]
async fn an_opening_that_cannot_be_recorded_opens_nothing() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    let mut db = world.db().await;
    let transaction = db.transaction().await.expect("a transaction");
    let lock = "LOCK TABLE audit_chains IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.expect("locked");
    let refused = unseal(&world, &vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    let status = world
        .caller(&vault, "operator")
        .get("/v1/seal-status")
        .await;
    assert_eq!(status.body["sealed"], json!(true));
    drop(transaction);
    opens_with_passphrase(&world, &vault).await;
}
