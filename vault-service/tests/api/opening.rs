//! The moment in which a sealed vault opens.

use std::time::Duration;

use reqwest::Client as Http;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    sealing::{
        PHRASE, opens_with_passphrase, ready, share, unseal, world_with_passphrase,
        world_with_shares,
    },
    world::{Vault, World},
};

/// What a table is locked with, so that nothing is read from it or written to it.
async fn locked(world: &World, table: &str) -> shared::postgres::Connection {
    let db = world.pool.get_for_long().await.expect("the database");
    let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    db.batch_execute(&lock).await.expect("locked");
    db
}

#[tokio::test]
async fn nobody_has_the_keys_before_it_is_on_record_who_opened_the_vault() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    let lock = locked(&world, "audit_chains").await;
    let health = format!("http://{}/readyz", vault.ops);
    let http = Http::builder().build().expect("a client");
    let asked = unseal(&world, &vault, json!({ "passphrase": PHRASE }));
    tokio::pin!(asked);
    let mut looks = 0;
    let refused = loop {
        let next = Instant::now() + Duration::from_millis(20);
        tokio::select! {
            refused = &mut asked => break refused,
            () = sleep_until(next) => {
                let seen = http.get(&health).send().await.expect("an answer");
                assert_eq!(seen.status().as_u16(), 503, "it is open before that is recorded");
                looks += 1;
            }
        }
    };
    assert_eq!(refused.problem(), (503, "unavailable"));
    // The audit gives up after two seconds.
    assert!(looks > 20, "{looks}");
    lock.batch_execute("COMMIT").await.expect("unlocked");
    opens_with_passphrase(&world, &vault).await;
}

#[tokio::test]
async fn shares_are_kept_while_the_database_is_away() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    for typed in &shares[..2] {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let lock = locked(&world, "master_keys").await;
    let refused = share(&world, &vault, &shares[2]).await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    lock.batch_execute("COMMIT").await.expect("unlocked");
    // The last one comes again, and the others need not.
    let opened = share(&world, &vault, &shares[2]).await;
    assert_eq!(
        (opened.status, &opened.body["sealed"]),
        (200, &json!(false))
    );
    assert_eq!(opened.body["shares_given"], json!(0));
}
