//! A new master key, from the file that it is read from until it wraps.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use shared::random;
use stack::until;
use uuid::Uuid;

use crate::{
    client::{Answer, decoded, item},
    world::{KEY_FILE, MASTER_KEY, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A world whose vaults read their master keys from a file.
pub(crate) async fn world() -> World {
    World::new().await.with_key_file(MASTER_KEY)
}

pub(crate) fn write_keys(world: &World, keys: &str) {
    fs::write(world.folder().join(KEY_FILE), keys).expect("written");
}

/// The file of the world with another version in it.
pub(crate) fn add_version_2(world: &World) {
    let newer = hex::encode(random::bytes::<32>());
    write_keys(world, &format!("1:{MASTER_KEY}\n2:{newer}\n"));
}

pub(crate) async fn current(world: &World, vault: &Vault, service: &'static str) -> (u64, bool) {
    let caller = world.caller(vault, service);
    let answer = caller.get("/v1/master-keys/current").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let version = answer.body["version"].as_u64().expect("a number");
    (version, answer.body["behind"].as_bool().expect("a truth"))
}

pub(crate) async fn wraps(world: &World, vault: &Vault, version: u64) {
    until("the version that wraps", LIMIT, async || {
        let (current, _) = current(world, vault, "identity").await;
        (current == version).then_some(()).ok_or(current)
    })
    .await
    .expect("in time");
}

/// What the operator sees of one version.
pub(crate) async fn seen(world: &World, vault: &Vault, version: usize) -> Value {
    let answer = world.caller(vault, "operator").get("/v1/master-keys").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["master_keys"][version - 1].clone()
}

pub(crate) async fn settle(
    world: &World,
    vault: &Vault,
    service: &'static str,
    version: u32,
) -> Answer {
    settle_as_of(world, vault, service, version, "now()").await
}

/// The same for whoever began to look at another time, in SQL.
pub(crate) async fn settle_as_of(
    world: &World,
    vault: &Vault,
    service: &'static str,
    version: u32,
    looked: &str,
) -> Answer {
    let sql = format!("SELECT to_jsonb(({looked}) AT TIME ZONE 'UTC')->>0 || 'Z'");
    let row = world
        .db()
        .await
        .query_typed_one(&sql, &[])
        .await
        .expect("a time");
    let as_of: String = row.get(0);
    let path = format!("/v1/master-keys/{version}/settle");
    world
        .command(vault, service, &path, json!({ "as_of": as_of }))
        .await
}

pub(crate) async fn schedule(world: &World, vault: &Vault, version: u32, days: u32) -> Answer {
    let path = format!("/v1/master-keys/{version}/schedule-destruction");
    let body = json!({ "wait_days": days });
    world.command(vault, "operator", &path, body).await
}

pub(crate) async fn sql(world: &World, statement: &str) {
    let done = world.db().await.batch_execute(statement).await;
    done.expect("the test's own statement");
}

/// The keys that were made a moment ago are as good as older ones.
pub(crate) async fn a_while_later(world: &World) {
    let statement = "UPDATE data_keys SET created_at = created_at - interval '10 minutes'";
    sql(world, statement).await;
}

/// Ada's key before the rotation, and after it, wrapped anew.
pub(crate) async fn rotated(world: &World, vault: &Vault) -> (Uuid, Vec<u8>, Vec<u8>) {
    let identity = world.caller(vault, "identity");
    let ada = somebody();
    let (old, _) = identity.created(ada, "account").await;
    add_version_2(world);
    wraps(world, vault, 2).await;
    let answer = identity.rewrap(&[item(ada, "account", &old)]).await;
    assert_eq!(answer.statuses(), ["ok"], "{answer:?}");
    (ada, old, decoded(&answer.items()[0]["wrapped_key"]))
}

#[tokio::test]
async fn a_key_added_to_the_file_wraps_without_a_restart_and_everything_goes_on_opening() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (old, key) = identity.created(ada, "account").await;
    assert_eq!(current(&world, &vault, "identity").await, (1, false));
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    assert_eq!(current(&world, &vault, "journal").await, (2, false));
    let opened = identity.unwrap_one(ada, "account", &old).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
    let (new, _) = identity.created(ada, "account").await;
    assert_eq!(new[4..8], [0, 0, 0, 2]);
    // The vault's own is sealed anew by itself.
    until("resealed", LIMIT, async || {
        let seen = seen(&world, &vault, 1).await;
        (seen["slots"] == 0).then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    let (status, _) = identity.unwrap_one(ada, "account", &new).await;
    assert_eq!(status, "ok");
}

#[tokio::test]
async fn no_version_wraps_that_a_running_replica_lacks() {
    let world = world().await;
    let there = world.start().await;
    let behind = {
        // Its file stays as it is.
        let file = world.folder().join("other-master-keys");
        fs::write(&file, MASTER_KEY).expect("written");
        let mut environment = world.environment.clone();
        let file = file.display().to_string();
        environment.insert("MASTER_ENCRYPTION_KEY_FILE", file);
        world.start_with(&environment).await
    };
    // Both have said that they run.
    wraps(&world, &behind, 1).await;
    add_version_2(&world);
    until("on standby", LIMIT, async || {
        let seen = seen(&world, &there, 2).await;
        (seen["state"] == "standby").then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    let identity = world.caller(&there, "identity");
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let (ada, other) = (somebody(), world.caller(&behind, "identity"));
        let (wrapped, _) = identity.created(ada, "account").await;
        assert_eq!(other.unwrap_one(ada, "account", &wrapped).await.0, "ok");
    }
    // When it is gone, nobody waits for it.
    behind.trigger.request();
    behind.running.await.expect("no panic").expect("a shutdown");
    wraps(&world, &there, 2).await;
}

#[tokio::test]
async fn a_replica_without_the_version_that_wraps_does_not_start() {
    let world = world().await;
    let vault = world.start().await;
    wraps(&world, &vault, 1).await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    // Nothing is wrapped under it yet, and it could be at any moment.
    write_keys(&world, MASTER_KEY);
    let late = world.start().await;
    let ended = tokio::time::timeout(LIMIT, late.running).await;
    let ended = ended.expect("it refuses to serve").expect("no panic");
    let told = ended.expect_err("a problem").to_string();
    assert!(told.contains("lacks version 2"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_is_noticed() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let changed = hex::encode(random::bytes::<32>());
    for wrong in [
        String::new(),
        "hunter2".to_owned(),
        format!("1:{changed}"),
        format!("2:{changed}"),
    ] {
        write_keys(&world, &wrong);
        until("refused", LIMIT, async || {
            let metrics = crate::world::metrics().render();
            let told = metrics.contains("vault_master_key_file_refused 1");
            told.then_some(()).ok_or("not noticed")
        })
        .await
        .expect("in time");
        assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
        assert_eq!(current(&world, &vault, "identity").await, (1, false));
        write_keys(&world, MASTER_KEY);
        until("taken again", LIMIT, async || {
            let metrics = crate::world::metrics().render();
            let fine = metrics.contains("vault_master_key_file_refused 0");
            fine.then_some(()).ok_or("still refused")
        })
        .await
        .expect("in time");
    }
}

/// It was away while the others went on to a master key that it does not have.
#[tokio::test]
async fn a_replica_that_lacks_what_wraps_makes_nothing_under_what_does_not() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    identity.created(ada, "account").await;
    let activated = |ago: &str| {
        format!(
            "INSERT INTO master_keys (version, kcv, first_seen_at, activated_at)
             VALUES (2, '\\x0102030405060708', now(), now() - interval '{ago}')
             ON CONFLICT (version) DO UPDATE SET activated_at = excluded.activated_at"
        )
    };
    // A moment ago: it may not have looked yet.
    sql(&world, &activated("1 second")).await;
    identity.created(somebody(), "account").await;
    sql(&world, &activated("2 minutes")).await;
    for subject in [ada, somebody()] {
        let answer = identity.create(subject, "account").await;
        assert_eq!(answer.problem(), (503, "unavailable"));
    }
    sql(&world, "DELETE FROM master_keys WHERE version = 2").await;
    identity.created(somebody(), "account").await;
    sql(
        &world,
        "UPDATE master_keys SET destroyed_at = now(), destroy_at = now() WHERE version = 1",
    )
    .await;
    let answer = identity.create(ada, "account").await;
    assert_eq!(answer.status, 503, "{answer:?}");
}
