//! A vault that somebody has to open.

use std::{fs, time::Duration};

use reqwest::Client as Http;
use serde_json::{Value, json};
use shared::random;
use stack::until;

use crate::{
    client::{Answer, item},
    seal_keyring::{keyring, seal_with_passphrase, split},
    world::{MASTER_KEY, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const PHRASE: &str = "correct horse battery staple";

/// The same world, whose master keys are sealed.
pub(crate) fn sealed(mut world: World) -> World {
    let file = keyring(&world);
    world.environment.remove("MASTER_ENCRYPTION_KEY");
    world.environment.insert("SEALED_KEYRING_FILE", file);
    world
}

pub(crate) async fn world_with_shares() -> (World, Vec<String>) {
    let world = World::new().await;
    let shares = split(&keyring(&world), MASTER_KEY);
    (sealed(world), shares)
}

pub(crate) async fn world_with_passphrase() -> World {
    let world = World::new().await;
    seal_with_passphrase(&keyring(&world), MASTER_KEY);
    sealed(world)
}

pub(crate) async fn unseal(world: &World, vault: &Vault, body: Value) -> Answer {
    world.command(vault, "operator", "/v1/unseal", body).await
}

pub(crate) async fn share(world: &World, vault: &Vault, share: &str) -> Answer {
    unseal(world, vault, json!({ "share": share })).await
}

pub(crate) async fn opens_with_passphrase(world: &World, vault: &Vault) {
    let opened = unseal(world, vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(
        (opened.status, &opened.body["sealed"]),
        (200, &json!(false))
    );
}

/// The answer of `/readyz`, when it has that state.
pub(crate) async fn ready(vault: &Vault, status: u16) -> Value {
    let url = format!("http://{}/readyz", vault.ops);
    let http = Http::builder().timeout(LIMIT).build().expect("a client");
    until("/readyz", LIMIT, async || {
        let answer = http.get(&url).send().await.expect("an answer");
        let is = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        (is == status).then_some(body.clone()).ok_or(body)
    })
    .await
    .expect("in time")
}

#[tokio::test]
async fn without_an_opener_it_starts_sealed_says_so_and_opens_nothing() {
    let (world, _) = world_with_shares().await;
    let vault = world.start().await;
    let status = world.caller(&vault, "journal").get("/v1/seal-status").await;
    assert_eq!(
        status.body,
        json!({"sealed": true, "opener": "shares", "shares_needed": 3, "shares_given": 0})
    );
    let health = ready(&vault, 503).await;
    assert_eq!(health["checks"]["seal"], "sealed", "{health}");
    assert_eq!(health["checks"]["master_keys"], "failed", "{health}");
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    for answer in [
        identity.create(ada, "account").await,
        identity.unwrap(&[item(ada, "account", &[0; 116])]).await,
        identity.rewrap(&[item(ada, "account", &[0; 116])]).await,
        identity.get("/v1/master-keys/current").await,
        world
            .shredder(&vault, "identity")
            .shred(ada, &json!({}))
            .await,
    ] {
        assert_eq!(answer.problem(), (503, "sealed"));
        assert_eq!(answer.retry_after, 5);
    }
    // Who is not known does not even learn that.
    let stranger = world.caller(&vault, "identity").with_token("nonsense");
    assert_eq!(stranger.get("/v1/seal-status").await.status, 401);
    assert_eq!(stranger.create(ada, "account").await.status, 401);
}

#[tokio::test]
async fn three_of_five_people_open_it_each_with_their_own_share() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    for (given, typed) in [(1, &shares[4]), (2, &shares[0]), (2, &shares[4])] {
        let answer = share(&world, &vault, typed).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["sealed"], json!(true));
        assert_eq!(answer.body["shares_given"], json!(given));
    }
    let opened = share(&world, &vault, &format!(" {}\n", shares[2])).await;
    assert_eq!(
        (opened.status, &opened.body["sealed"]),
        (200, &json!(false))
    );
    assert_eq!(opened.body["shares_given"], json!(0), "shares are kept");
    ready(&vault, 200).await;
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    let (wrapped, _) = identity.created(ada, "account").await;
    assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
}

#[tokio::test]
async fn a_passphrase_opens_it_and_sealing_it_wipes_the_keys() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    let wrong = unseal(
        &world,
        &vault,
        json!({"passphrase": "correct horse battery stable"}),
    )
    .await;
    assert_eq!(wrong.problem(), (403, "unseal_refused"));
    opens_with_passphrase(&world, &vault).await;
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    let (wrapped, key) = identity.created(ada, "account").await;
    for service in ["identity", "journal"] {
        let refused = world.command(&vault, service, "/v1/seal", json!({})).await;
        assert_eq!(refused.problem(), (403, "not_allowed"));
        let refused = world
            .command(&vault, service, "/v1/unseal", json!({"passphrase": PHRASE}))
            .await;
        assert_eq!(refused.problem(), (403, "not_allowed"));
    }
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!((closed.status, &closed.body["sealed"]), (200, &json!(true)));
    assert_eq!(ready(&vault, 503).await["checks"]["key_memory"], "empty");
    let refused = identity.unwrap(&[item(ada, "account", &wrapped)]).await;
    assert_eq!(refused.problem(), (503, "sealed"));
    opens_with_passphrase(&world, &vault).await;
    let opened = identity.unwrap_one(ada, "account", &wrapped).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
}

#[tokio::test]
async fn an_open_vault_takes_a_newer_keyring_from_whoever_can_open_it() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    opens_with_passphrase(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (old, key) = identity.created(ada, "account").await;
    let newer = format!("1:{MASTER_KEY},2:{}", hex::encode(random::bytes::<32>()));
    fs::remove_file(keyring(&world)).expect("removed");
    seal_with_passphrase(&keyring(&world), &newer);
    opens_with_passphrase(&world, &vault).await;
    until("a newer key", LIMIT, async || {
        let (new, _) = identity.created(ada, "account").await;
        (new[7] == 2).then_some(()).ok_or(new[7])
    })
    .await
    .expect("in time");
    let opened = identity.unwrap_one(ada, "account", &old).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
    // Another key under version 1 would make everybody's keys useless.
    let other = newer.replace(MASTER_KEY, &hex::encode(random::bytes::<32>()));
    fs::remove_file(keyring(&world)).expect("removed");
    seal_with_passphrase(&keyring(&world), &other);
    let refused = unseal(&world, &vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(refused.problem(), (409, "keyring_unusable"));
    assert_eq!(identity.unwrap_one(ada, "account", &old).await.0, "ok");
}

#[tokio::test]
async fn a_vault_with_a_key_file_is_sealed_and_opens_from_it_again() {
    let world = World::new().await.with_key_file(MASTER_KEY);
    let vault = world.start().await;
    ready(&vault, 200).await;
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.body, json!({"sealed": true, "opener": "key_file"}));
    for (body, told) in [
        (json!({ "passphrase": PHRASE }), "other_opener"),
        (json!({ "share": "any" }), "other_opener"),
        (
            json!({"passphrase": PHRASE, "share": "any"}),
            "other_opener",
        ),
    ] {
        assert_eq!(unseal(&world, &vault, body).await.problem(), (409, told));
    }
    let opened = unseal(&world, &vault, json!({})).await;
    assert_eq!(
        (opened.status, &opened.body["sealed"]),
        (200, &json!(false))
    );
}

#[tokio::test]
async fn unsealing_takes_a_token_that_is_good_for_it_alone() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    let body = json!({ "passphrase": PHRASE });
    let unbound = world
        .caller(&vault, "operator")
        .post("/v1/unseal", &body)
        .await;
    assert_eq!(unbound.status, 401, "{unbound:?}");
    let operator = world.shredder(&vault, "operator");
    let token = operator.token("POST", "/v1/unseal", &json!({"passphrase": "another"}));
    let moved = operator.client.clone().with_token(&token);
    assert_eq!(moved.post("/v1/unseal", &body).await.status, 401);
    let token = operator.token("POST", "/v1/unseal", &body);
    let once = operator.client.with_token(&token);
    assert_eq!(once.post("/v1/unseal", &body).await.status, 200);
    assert_eq!(once.post("/v1/unseal", &body).await.status, 401);
}

#[tokio::test]
async fn the_people_who_were_shredded_stay_so_when_a_sealed_vault_opens() {
    let world = world_with_passphrase().await;
    let tombstones = world.folder().join("tombstones").display().to_string();
    let world = world.with("TOMBSTONE_FILE", &tombstones);
    let ada = somebody();
    let wrapped = {
        let vault = world.start().await;
        opens_with_passphrase(&world, &vault).await;
        let identity = world.caller(&vault, "identity");
        let (wrapped, _) = identity.created(ada, "account").await;
        let sql = "CREATE TABLE kept AS SELECT * FROM subjects";
        world.db().await.batch_execute(sql).await.expect("a backup");
        world.shredder(&vault, "identity").shredded(ada, 0).await;
        vault.trigger.request();
        vault.running.await.expect("no panic").expect("a shutdown");
        wrapped
    };
    let sql = "DELETE FROM shreds; DELETE FROM subjects; INSERT INTO subjects SELECT * FROM kept";
    world.db().await.batch_execute(sql).await.expect("restored");
    let vault = world.start().await;
    opens_with_passphrase(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    assert_eq!(
        identity.unwrap_one(ada, "account", &wrapped).await.0,
        "shredded"
    );
}
