//! A service that keeps keys and has them wrapped anew, as identity and the journal do it, and what the vault believes of it.

use std::time::Duration;

use serde_json::json;
use shared::{
    clock::Clock,
    rewrap::{KeyTable, Rewrapping},
    serve::{Shutdown, Trigger},
};
use stack::until;
use tokio::{task::JoinHandle, time::Instant};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    client::item,
    rotation::{
        a_while_later, add_version_2, current, rotated, schedule, seen, settle, settle_as_of, sql,
        world, wraps,
    },
    world::{Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);

/// What the service keeps, in its own table beside the vault's.
const TABLES: &[KeyTable] = &[KeyTable {
    purpose: "account",
    behind: "SELECT subject, wrapped_key FROM owned
             WHERE substring(wrapped_key FROM 5 FOR 4) < $1 AND subject > $2 ORDER BY subject LIMIT 100",
    replace: "UPDATE owned SET wrapped_key = new.after FROM unnest($1, $2, $3) AS new (subject, before, after)
              WHERE owned.subject = new.subject AND wrapped_key = new.before",
}];

/// One run of the service.
struct Owner {
    running: JoinHandle<()>,
    trigger: Trigger,
}

impl Owner {
    fn starts(world: &World, vault: &Vault) -> Self {
        let (client, pool) = (world.vault_client(vault, "identity"), world.pool.clone());
        let (trigger, shutdown) = Shutdown::manual();
        let running = tokio::spawn(async move {
            let rewrapping = Rewrapping {
                vault: &client,
                pool: &pool,
                tables: TABLES,
                clock: &Clock::system(),
            };
            rewrapping.run(shutdown).await;
        });
        Self { running, trigger }
    }

    async fn ends(self) {
        self.trigger.request();
        self.running.await.expect("no panic");
    }
}

async fn keeps(world: &World, subject: Uuid, wrapped: &[u8]) {
    let sql = "INSERT INTO owned VALUES ($1, $2)
               ON CONFLICT (subject) DO UPDATE SET wrapped_key = excluded.wrapped_key";
    let db = world.db().await;
    let kept = db
        .execute_typed(sql, &[(&subject, Type::UUID), (&wrapped, Type::BYTEA)])
        .await;
    kept.expect("kept");
}

async fn kept(world: &World, subject: Uuid) -> Vec<u8> {
    let sql = "SELECT wrapped_key FROM owned WHERE subject = $1";
    let db = world.db().await;
    let row = db.query_typed_one(sql, &[(&subject, Type::UUID)]).await;
    row.expect("kept").get(0)
}

async fn is_wrapped_anew(world: &World, subject: Uuid) {
    until("wrapped anew", LIMIT, async || {
        let wrapped = kept(world, subject).await;
        (wrapped[7] == 2).then_some(()).ok_or(wrapped[7])
    })
    .await
    .expect("in time");
}

async fn is_behind(world: &World, vault: &Vault, behind: bool) {
    until("settled", LIMIT, async || {
        let current = current(world, vault, "identity").await;
        let told = format!("{current:?}");
        (current == (2, behind)).then_some(()).ok_or(told)
    })
    .await
    .expect("in time");
}

/// Ada's key and Bob's, as the service keeps them under the first master key; the second one wraps by now.
async fn two_keys(world: &World, vault: &Vault) -> [(Uuid, Vec<u8>); 2] {
    let table = "CREATE TABLE owned (subject uuid PRIMARY KEY, wrapped_key bytea NOT NULL)";
    sql(world, table).await;
    let identity = world.caller(vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (hers, _) = identity.created(ada, "account").await;
    let (his, _) = identity.created(bob, "account").await;
    keeps(world, ada, &hers).await;
    keeps(world, bob, &his).await;
    a_while_later(world).await;
    add_version_2(world);
    wraps(world, vault, 2).await;
    [(ada, hers), (bob, his)]
}

#[tokio::test]
async fn what_a_service_keeps_follows_and_so_does_what_comes_back_with_its_backup() {
    let world = world().await;
    let vault = world.start().await;
    let people = two_keys(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    let owner = Owner::starts(&world, &vault);
    is_behind(&world, &vault, false).await;
    for (subject, _) in &people {
        let wrapped = kept(&world, *subject).await;
        assert_eq!(wrapped[7], 2);
        let (status, _) = identity.unwrap_one(*subject, "account", &wrapped).await;
        assert_eq!(status, "ok");
    }
    owner.ends().await;
    // From before the rewrap. The vault knows of nothing that is behind.
    for (subject, wrapped) in &people {
        keeps(&world, *subject, wrapped).await;
    }
    assert_eq!(current(&world, &vault, "identity").await, (2, false));
    let owner = Owner::starts(&world, &vault);
    for (subject, _) in &people {
        is_wrapped_anew(&world, *subject).await;
    }
    // What was shown meanwhile counts until its owner has looked through everything once more.
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    owner.ends().await;
    a_while_later(&world).await;
    let owner = Owner::starts(&world, &vault);
    is_behind(&world, &vault, false).await;
    owner.ends().await;
}

#[tokio::test]
async fn one_key_that_does_not_follow_holds_the_master_key_back_and_no_other_key() {
    let world = world().await;
    let vault = world.start().await;
    let [(ada, _), (bob, mut his)] = two_keys(&world, &vault).await;
    his[80] ^= 1;
    keeps(&world, bob, &his).await;
    let owner = Owner::starts(&world, &vault);
    is_wrapped_anew(&world, ada).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(current(&world, &vault, "identity").await, (2, true));
    }
    assert_eq!(kept(&world, bob).await, his);
    let refused = schedule(&world, &vault, 1, 7).await;
    assert_eq!(refused.problem(), (409, "master_key_in_use"));
    owner.ends().await;
}

#[tokio::test]
async fn what_is_made_while_its_owner_looks_through_its_keys_is_not_settled() {
    let world = world().await;
    let vault = world.start().await;
    let (_, _, _) = rotated(&world, &vault).await;
    // Two minutes after it was made it is stored, wherever that is.
    let made = "UPDATE data_keys SET created_at = now() - interval '5 minutes'";
    sql(&world, made).await;
    for (looked, behind) in [
        ("now() - interval '1 hour'", true),
        ("now() - interval '4 minutes'", true),
        ("now() - interval '2 minutes'", false),
    ] {
        let settled = settle_as_of(&world, &vault, "identity", 2, looked).await;
        assert_eq!(settled.status, 200, "{settled:?}");
        let current = current(&world, &vault, "identity").await;
        assert_eq!(current, (2, behind), "{looked}");
    }
    // Nobody has looked at what is not made yet.
    sql(
        &world,
        "UPDATE data_keys SET mek_version = 1, created_at = now()",
    )
    .await;
    let settled = settle_as_of(&world, &vault, "identity", 2, "timestamptz '2999-01-01'").await;
    assert_eq!(settled.status, 200, "{settled:?}");
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
}

#[tokio::test]
async fn a_key_that_is_wrapped_anew_once_more_is_counted_as_old_until_that_is_stored() {
    let world = world().await;
    let vault = world.start().await;
    let (ada, old, _) = rotated(&world, &vault).await;
    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    assert_eq!(current(&world, &vault, "identity").await, (2, false));
    // The service fell over before it stored the answer.
    let identity = world.caller(&vault, "identity");
    let answer = identity.rewrap(&[item(ada, "account", &old)]).await;
    assert_eq!(answer.statuses(), ["ok"]);
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    let counted = seen(&world, &vault, 1).await["data_keys"].clone();
    assert_eq!(counted, json!([{"owner": "identity", "number": 1}]));
}

#[tokio::test]
async fn only_what_its_owner_has_settled_stops_holding_a_master_key_back() {
    let world = world().await;
    let vault = world.start().await;
    let (ada, old, new) = rotated(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    // Wrapped anew, and perhaps not stored.
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    let refused = schedule(&world, &vault, 1, 7).await;
    assert_eq!(refused.problem(), (409, "master_key_in_use"));
    // A key that was made a moment ago may not be stored yet.
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    a_while_later(&world).await;
    // Nobody settles for another.
    assert_eq!(settle(&world, &vault, "journal", 2).await.status, 200);
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    assert_eq!(current(&world, &vault, "identity").await, (2, false));
    // It was not true: the old one is still kept somewhere, and is counted where it belongs.
    assert_eq!(identity.unwrap_one(ada, "account", &old).await.0, "ok");
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    let seen = seen(&world, &vault, 1).await;
    assert_eq!(
        seen["data_keys"],
        json!([{"owner": "identity", "number": 1}])
    );
    assert_eq!(identity.unwrap_one(ada, "account", &new).await.0, "ok");
}

#[tokio::test]
async fn settling_wants_the_version_that_wraps_and_an_owner() {
    let world = world().await;
    let vault = world.start().await;
    for (service, version, told) in [
        ("operator", 1, (403, "not_allowed")),
        ("identity", 2, (409, "master_key_not_current")),
        ("identity", 0, (404, "unknown_master_key")),
    ] {
        let answer = settle(&world, &vault, service, version).await;
        assert_eq!(answer.problem(), told, "{service} {version}");
    }
    let unbound = world.caller(&vault, "identity");
    let body = json!({"as_of": "2026-11-24T12:00:00Z"});
    let answer = unbound.post("/v1/master-keys/1/settle", &body).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test]
async fn many_keys_follow_where_the_vault_takes_no_more_than_one_batch_a_second() {
    let world = world().await;
    let vault = world.start().await;
    let table = "CREATE TABLE owned (subject uuid PRIMARY KEY, wrapped_key bytea NOT NULL)";
    sql(&world, table).await;
    let identity = world.caller(&vault, "identity");
    for _ in 0..150 {
        let subject = somebody();
        let (wrapped, _) = identity.created(subject, "account").await;
        keeps(&world, subject, &wrapped).await;
    }
    a_while_later(&world).await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    let world = world.with("LIMIT_PER_SECOND", "100");
    let slow = world.start().await;
    let owners = [Owner::starts(&world, &slow), Owner::starts(&world, &slow)];
    until("all wrapped anew", LIMIT, async || {
        let left = "SELECT count(*) FROM owned WHERE substring(wrapped_key FROM 8 FOR 1) = '\\x01'";
        let left: i64 = world
            .db()
            .await
            .query_one(left, &[])
            .await
            .expect("a number")
            .get(0);
        (left == 0).then_some(()).ok_or(left)
    })
    .await
    .expect("in time");
    for owner in owners {
        owner.ends().await;
    }
}

#[tokio::test]
async fn a_key_that_the_restored_database_does_not_know_holds_its_master_key_back_once_it_is_shown()
{
    let world = world().await;
    let vault = world.start().await;
    let (ada, old, _) = rotated(&world, &vault).await;
    // From before the key was made; its owner still has it.
    sql(&world, "DELETE FROM data_keys").await;
    let identity = world.caller(&vault, "identity");
    assert_eq!(current(&world, &vault, "identity").await, (2, false));
    assert_eq!(identity.unwrap_one(ada, "account", &old).await.0, "ok");
    assert_eq!(current(&world, &vault, "identity").await, (2, true));
    let refused = schedule(&world, &vault, 1, 7).await;
    assert_eq!(refused.problem(), (409, "master_key_in_use"));
    let seen = seen(&world, &vault, 1).await;
    assert_eq!(
        seen["data_keys"],
        json!([{"owner": "identity", "number": 1}]),
        "{seen}"
    );
}
