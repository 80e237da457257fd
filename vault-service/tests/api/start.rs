//! Which master keys the vault starts with, and which it refuses.

use std::time::Duration;

use shared::random;
use shared::service::StartError;
use stack::until;

use crate::world::{MASTER_KEY, Vault, World, somebody};

const LIMIT: Duration = Duration::from_secs(20);

fn other_key() -> String {
    hex::encode(random::bytes::<32>())
}

/// Why a vault that was started ends by itself.
async fn refusal(vault: Vault) -> String {
    let ended = tokio::time::timeout(LIMIT, vault.running)
        .await
        .expect("it refuses to serve");
    match ended.expect("no panic") {
        Err(StartError::Settings(problems)) => problems.to_string(),
        other => panic!("the settings should be refused: {other:?}"),
    }
}

/// A world whose vault has made a key under version 1.
async fn used() -> (World, uuid::Uuid, Vec<u8>, Vec<u8>) {
    let world = World::new().await;
    let vault = world.start().await;
    let ada = somebody();
    let (wrapped, key) = world
        .caller(&vault, "identity")
        .created(ada, "account")
        .await;
    (world, ada, wrapped, key)
}

#[tokio::test]
async fn a_changed_master_key_is_named_by_version_and_refused() {
    let (world, ..) = used().await;
    let changed = other_key();
    let world = world.with(
        "MASTER_ENCRYPTION_KEY",
        &format!("1:{changed},2:{}", other_key()),
    );
    let told = refusal(world.start().await).await;
    assert!(
        told.contains("MASTER_ENCRYPTION_KEY") && told.contains("version 1 "),
        "{told}"
    );
    assert!(!told.contains(&changed), "{told}");
}

#[tokio::test]
async fn a_master_key_that_is_still_needed_cannot_be_left_out() {
    let (world, ..) = used().await;
    let world = world.with("MASTER_ENCRYPTION_KEY", &format!("2:{}", other_key()));
    let told = refusal(world.start().await).await;
    assert!(told.contains("lacks version 1"), "{told}");
}

#[tokio::test]
async fn a_new_master_key_wraps_and_the_old_one_still_opens() {
    let (world, ada, wrapped, key) = used().await;
    let world = world.with(
        "MASTER_ENCRYPTION_KEY",
        &format!("1:{MASTER_KEY},2:{}", other_key()),
    );
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    assert_eq!(
        identity.unwrap_one(ada, "account", &wrapped).await,
        ("ok".to_owned(), Some(key))
    );
    // It wraps when the vault before it is seen to be gone.
    let (newer, newer_key) = until("a newer key", LIMIT, async || {
        let (newer, newer_key) = identity.created(ada, "account").await;
        (newer[4..8] == [0, 0, 0, 2])
            .then_some((newer.clone(), newer_key))
            .ok_or(newer[7])
    })
    .await
    .unwrap();
    assert_eq!(
        identity.unwrap_one(ada, "account", &newer).await,
        ("ok".to_owned(), Some(newer_key))
    );
}

#[tokio::test]
async fn replicas_that_start_at_once_on_an_empty_database_all_serve_the_same_keys() {
    let world = World::new().await;
    world
        .db()
        .await
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .expect("an empty database");
    let replicas = [
        world.start().await,
        world.start().await,
        world.start().await,
    ];
    let ada = somebody();
    let (wrapped, key) = world
        .caller(&replicas[0], "identity")
        .created(ada, "account")
        .await;
    for replica in &replicas {
        let opened = world
            .caller(replica, "identity")
            .unwrap_one(ada, "account", &wrapped)
            .await;
        assert_eq!(opened, ("ok".to_owned(), Some(key.clone())));
    }
}
