//! Master keys, while somebody else is at the database at the same moment, or has been there.

use std::{fs, time::Duration};

use shared::{postgres::Connection, random};
use stack::until;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    rotation::{add_version_2, rotated, seen, sql, world, wraps, write_keys},
    seal_keyring::{keyring, seal_with_passphrase},
    sealing::{opens_with_passphrase, ready, world_with_passphrase},
    world::{KEY_FILE, MASTER_KEY, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);

/// A connection that keeps what it has locked, and by which it is known.
async fn another(world: &World) -> (Connection, i32) {
    let db = world.pool.get_for_long().await.expect("the database");
    let pid = db.query_typed_one("SELECT pg_backend_pid()", &[]).await;
    let pid = pid.expect("a number").get(0);
    (db, pid)
}

#[tokio::test]
async fn one_replica_at_a_time_moves_a_master_key() {
    let world = world().await;
    let vault = world.start().await;
    wraps(&world, &vault, 1).await;
    let (other, pid) = another(&world).await;
    // "mastkeys", as every replica takes it.
    let lock = format!("SELECT pg_advisory_lock({})", 0x6d61_7374_6b65_7973_i64);
    other.batch_execute(&lock).await.expect("locked");
    add_version_2(&world);
    world.held_up_by(pid).await;
    let unlock = "SELECT pg_advisory_unlock_all()";
    other.batch_execute(unlock).await.expect("unlocked");
    wraps(&world, &vault, 2).await;
}

/// Which versions each replica that runs has said to have.
async fn announced(world: &World) -> Vec<Vec<i64>> {
    let rows = world
        .db()
        .await
        .query_typed("SELECT versions FROM replicas", &[])
        .await;
    let rows = rows.expect("replicas");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn whoever_opens_has_said_with_which_master_keys() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    assert_eq!(announced(&world).await, Vec::<Vec<i64>>::new());
    // Before it wraps anything, and not only at its next look.
    opens_with_passphrase(&world, &vault).await;
    assert_eq!(announced(&world).await, [[1]]);
    let newer = format!("1:{MASTER_KEY},2:{}", hex::encode(random::bytes::<32>()));
    fs::remove_file(keyring(&world)).expect("removed");
    seal_with_passphrase(&keyring(&world), &newer);
    opens_with_passphrase(&world, &vault).await;
    until("both announced", LIMIT, async || {
        let mut announced = announced(&world).await.concat();
        announced.sort_unstable();
        let told = format!("{announced:?}");
        (announced == [1, 2]).then_some(()).ok_or(told)
    })
    .await
    .expect("in time");
}

async fn has_salt(world: &World, subject: Uuid) -> bool {
    let sql = "SELECT sealed_salt IS NOT NULL FROM subjects WHERE subject = $1";
    let db = world.db().await;
    let row = db.query_typed_one(sql, &[(&subject, Type::UUID)]).await;
    row.expect("a slot").get(0)
}

#[tokio::test]
async fn a_salt_that_goes_while_it_is_sealed_anew_does_not_come_back() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    identity.created(ada, "account").await;
    identity.created(bob, "account").await;
    let (other, pid) = another(&world).await;
    let purge = format!(
        "BEGIN; UPDATE subjects SET sealed_salt = NULL, mek_version = NULL WHERE subject = '{ada}'"
    );
    other.batch_execute(&purge).await.expect("locked");
    add_version_2(&world);
    world.held_up_by(pid).await;
    other.batch_execute("COMMIT").await.expect("gone");
    until("all sealed anew", LIMIT, async || {
        let seen = seen(&world, &vault, 1).await;
        (seen["slots"] == 0).then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    assert!(!has_salt(&world, ada).await, "her salt is back");
    assert!(has_salt(&world, bob).await);
}

#[tokio::test]
async fn no_salt_is_sealed_anew_under_a_master_key_that_is_being_destroyed() {
    let world = world().await;
    let vault = world.start().await;
    let ada = somebody();
    world
        .caller(&vault, "identity")
        .created(ada, "account")
        .await;
    rotated(&world, &vault).await;
    let (other, pid) = another(&world).await;
    let destroyed = "BEGIN; UPDATE master_keys SET destroyed_at = now() WHERE version = 2";
    other.batch_execute(destroyed).await.expect("locked");
    sql(&world, "UPDATE subjects SET mek_version = 1").await;
    world.held_up_by(pid).await;
    other.batch_execute("COMMIT").await.expect("destroyed");
    // When it says again which master keys it has, it is through with the slots.
    sql(&world, "UPDATE replicas SET versions = '{}'").await;
    until("its next turn", LIMIT, async || {
        let announced = announced(&world).await;
        let told = format!("{announced:?}");
        (announced == [[1, 2]]).then_some(()).ok_or(told)
    })
    .await
    .expect("in time");
    let noted = "SELECT mek_version FROM subjects WHERE subject = $1";
    let db = world.db().await;
    let noted = db.query_typed_one(noted, &[(&ada, Type::UUID)]).await;
    assert_eq!(noted.expect("a slot").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn what_wraps_is_not_destroyed_whatever_the_database_says() {
    let world = world().await;
    let vault = world.start().await;
    wraps(&world, &vault, 1).await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    // Nothing depends on it yet.
    let due = "UPDATE master_keys SET destroy_at = now() - interval '1 day' WHERE version = 2";
    sql(&world, due).await;
    until("kept", LIMIT, async || {
        let seen = seen(&world, &vault, 2).await;
        (seen["state"] == "active").then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    let identity = world.caller(&vault, "identity");
    let (wrapped, _) = identity.created(somebody(), "account").await;
    assert_eq!(wrapped[7], 2);
}

#[tokio::test]
async fn a_replica_without_a_version_that_keys_depend_on_does_not_start() {
    let world = world().await;
    let vault = world.start().await;
    rotated(&world, &vault).await;
    let file = fs::read_to_string(world.folder().join(KEY_FILE)).expect("text");
    let newer = file.lines().find(|line| line.starts_with("2:"));
    write_keys(&world, newer.expect("the newer one"));
    let late = world.start().await;
    let ended = tokio::time::timeout(LIMIT, late.running).await;
    let ended = ended.expect("it refuses to serve").expect("no panic");
    let told = ended.expect_err("a problem").to_string();
    assert!(told.contains("lacks version 1"), "{told}");
}
