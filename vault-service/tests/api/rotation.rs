//! A new master key, from the file it is read from to the end of the one before.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use shared::random;
use stack::until;
use tokio_postgres::types::Type;
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

/// What cannot be undone, as that service.
pub(crate) async fn command(
    world: &World,
    vault: &Vault,
    service: &'static str,
    path: &str,
    body: Value,
) -> Answer {
    let caller = world.shredder(vault, service);
    let token = caller.token("POST", path, &body);
    caller.client.with_token(&token).post(path, &body).await
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
    command(world, vault, service, &path, json!({ "as_of": as_of })).await
}

pub(crate) async fn schedule(world: &World, vault: &Vault, version: u32, days: u32) -> Answer {
    let path = format!("/v1/master-keys/{version}/schedule-destruction");
    let body = json!({ "wait_days": days });
    command(world, vault, "operator", &path, body).await
}

async fn cancel(world: &World, vault: &Vault, version: u32) -> Answer {
    let path = format!("/v1/master-keys/{version}/cancel");
    command(world, vault, "operator", &path, json!({})).await
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

/// Version 1 is destroyed: nothing depended on it.
async fn destroyed(world: &World, vault: &Vault) {
    until("nothing left behind", LIMIT, async || {
        let seen = seen(world, vault, 1).await;
        let free = seen["slots"] == 0 && seen["data_keys"] == json!([]);
        free.then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    let scheduled = schedule(world, vault, 1, 7).await;
    assert_eq!(scheduled.status, 200, "{scheduled:?}");
    sql(
        world,
        "UPDATE master_keys SET destroy_at = destroy_at - interval '7 days' WHERE version = 1",
    )
    .await;
    until("destroyed", LIMIT, async || {
        let seen = seen(world, vault, 1).await;
        (seen["state"] == "destroyed").then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
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

#[tokio::test]
async fn rewrapping_gives_nothing_in_the_clear_and_needs_no_person() {
    let world = world().await;
    let vault = world.start().await;
    let ada = somebody();
    let (old, key) = world.journal_for(&vault, ada).created(ada, "entries").await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    // Nobody is there to prove that it is them.
    let journal = world.caller(&vault, "journal");
    let answer = journal.rewrap(&[item(ada, "entries", &old)]).await;
    assert_eq!(answer.statuses(), ["ok"]);
    assert!(!answer.body.to_string().contains("plaintext"), "{answer:?}");
    let new = decoded(&answer.items()[0]["wrapped_key"]);
    assert_eq!(new[4..8], [0, 0, 0, 2]);
    assert_eq!(new[8..24], old[8..24], "another key");
    assert_ne!(new[24..36], old[24..36], "the nonce was used again");
    // Shown again it comes back as it is.
    let again = journal.rewrap(&[item(ada, "entries", &new)]).await;
    assert_eq!(decoded(&again.items()[0]["wrapped_key"]), new);
    let opened = world
        .journal_for(&vault, ada)
        .unwrap_one(ada, "entries", &new)
        .await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
    // Unwrapping it still takes her.
    assert_eq!(
        journal.unwrap_one(ada, "entries", &new).await.0,
        "user_token_required"
    );
}

#[tokio::test]
async fn nobody_has_anothers_keys_wrapped_anew_and_one_bad_item_fails_no_other() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (hers, _) = identity.created(ada, "account").await;
    let (his, _) = identity.created(bob, "account").await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    let mut flipped = hers.clone();
    flipped[70] ^= 1;
    let answer = identity
        .rewrap(&[
            item(bob, "account", &hers),
            item(ada, "outbox", &hers),
            item(ada, "entries", &hers),
            item(ada, "account", &flipped),
            item(ada, "account", &hers[..115]),
            json!({"subject": "ada", "purpose": "account", "wrapped_key": ""}),
            item(somebody(), "account", &hers),
            item(bob, "account", &his),
        ])
        .await;
    assert_eq!(
        answer.statuses(),
        [
            "wrapped_key_refused",
            "wrapped_key_refused",
            "not_allowed",
            "wrapped_key_refused",
            "wrapped_key_refused",
            "unknown_subject",
            "unknown_subject",
            "ok"
        ]
    );
    let journal = world.caller(&vault, "journal");
    let answer = journal
        .rewrap(&[item(ada, "account", &hers), item(ada, "entries", &hers)])
        .await;
    assert_eq!(answer.statuses(), ["not_allowed", "wrapped_key_refused"]);
    let operator = world.caller(&vault, "operator");
    let answer = operator.rewrap(&[item(ada, "account", &hers)]).await;
    assert_eq!(answer.statuses(), ["not_allowed"]);
}

#[tokio::test]
async fn keys_of_a_shred_that_may_be_taken_back_follow_and_of_one_that_is_done_do_not() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let shredder = world.shredder(&vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (hers, key) = identity.created(ada, "account").await;
    let (his, _) = identity.created(bob, "account").await;
    shredder.shredded(ada, 600).await;
    shredder.shredded(bob, 0).await;
    add_version_2(&world);
    wraps(&world, &vault, 2).await;
    let answer = identity
        .rewrap(&[item(ada, "account", &hers), item(bob, "account", &his)])
        .await;
    assert_eq!(answer.statuses(), ["ok", "shredded"]);
    let new = decoded(&answer.items()[0]["wrapped_key"]);
    assert_eq!(
        identity.unwrap_one(ada, "account", &new).await.0,
        "shred_pending"
    );
    assert_eq!(shredder.restore(ada).await.status, 204);
    let opened = identity.unwrap_one(ada, "account", &new).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
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
async fn a_master_key_that_nothing_depends_on_is_destroyed_after_its_wait() {
    let world = world().await;
    let vault = world.start().await;
    let (ada, old, new) = rotated(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    destroyed(&world, &vault).await;
    let answer = identity
        .unwrap(&[item(ada, "account", &old), item(ada, "account", &new)])
        .await;
    assert_eq!(answer.statuses(), ["master_key_destroyed", "ok"]);
    let answer = identity.rewrap(&[item(ada, "account", &old)]).await;
    assert_eq!(answer.statuses(), ["master_key_destroyed"]);
    for answer in [
        schedule(&world, &vault, 1, 7).await,
        cancel(&world, &vault, 1).await,
    ] {
        assert_eq!(answer.problem(), (410, "master_key_destroyed"));
    }
    // The file still has it. It is not used again, not even after a restart.
    let restarted = world.start().await;
    let identity = world.caller(&restarted, "identity");
    let answer = identity
        .unwrap(&[item(ada, "account", &old), item(ada, "account", &new)])
        .await;
    assert_eq!(answer.statuses(), ["master_key_destroyed", "ok"]);
}

#[tokio::test]
async fn a_destruction_is_taken_back_by_the_operator_and_by_a_key_that_turns_up() {
    let world = world().await;
    let vault = world.start().await;
    let (ada, old, _) = rotated(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    until("scheduled", LIMIT, async || {
        let answer = schedule(&world, &vault, 1, 30).await;
        (answer.status == 200).then_some(()).ok_or(answer.body)
    })
    .await
    .expect("in time");
    assert_eq!(
        seen(&world, &vault, 1).await["state"],
        "destruction_scheduled"
    );
    assert_eq!(cancel(&world, &vault, 1).await.status, 200);
    assert_eq!(seen(&world, &vault, 1).await["state"], "retired");
    assert_eq!(schedule(&world, &vault, 1, 7).await.status, 200);
    // Somebody restored an old backup.
    assert_eq!(identity.unwrap_one(ada, "account", &old).await.0, "ok");
    sql(
        &world,
        "UPDATE master_keys SET destroy_at = destroy_at - interval '7 days' WHERE version = 1",
    )
    .await;
    until("kept", LIMIT, async || {
        let seen = seen(&world, &vault, 1).await;
        (seen["state"] == "retired").then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    assert_eq!(identity.unwrap_one(ada, "account", &old).await.0, "ok");
}

#[tokio::test]
async fn the_operator_alone_sees_and_destroys_and_never_what_wraps() {
    let world = world().await;
    let vault = world.start().await;
    wraps(&world, &vault, 1).await;
    for service in ["identity", "journal"] {
        let answer = world.caller(&vault, service).get("/v1/master-keys").await;
        assert_eq!(answer.problem(), (403, "not_allowed"));
        for (path, body) in [
            (
                "/v1/master-keys/1/schedule-destruction",
                json!({"wait_days": 7}),
            ),
            ("/v1/master-keys/1/cancel", json!({})),
        ] {
            let answer = command(&world, &vault, service, path, body).await;
            assert_eq!(answer.problem(), (403, "not_allowed"), "{path}");
        }
    }
    let wrapping = schedule(&world, &vault, 1, 7).await;
    assert_eq!(wrapping.problem(), (409, "master_key_in_use"));
    let unknown = schedule(&world, &vault, 7, 7).await;
    assert_eq!(unknown.problem(), (404, "unknown_master_key"));
    for days in [0, 6, 31] {
        let answer = schedule(&world, &vault, 1, days).await;
        assert_eq!(answer.problem(), (400, "invalid_request"), "{days}");
    }
    // They own no keys and open none.
    let operator = world.caller(&vault, "operator");
    let ada = somebody();
    assert_eq!(
        operator.create(ada, "account").await.problem(),
        (403, "not_allowed")
    );
    let (wrapped, _) = world
        .caller(&vault, "identity")
        .created(ada, "account")
        .await;
    assert_eq!(
        operator.unwrap_one(ada, "account", &wrapped).await.0,
        "not_allowed"
    );
    let shredder = world.shredder(&vault, "operator");
    assert_eq!(
        shredder.shred(ada, &json!({})).await.problem(),
        (403, "not_allowed")
    );
}

#[tokio::test]
async fn a_rotation_is_in_the_audit_which_goes_on_under_the_new_key() {
    let world = world().await;
    let vault = world.start().await;
    let (ada, _, new) = rotated(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    destroyed(&world, &vault).await;
    assert_eq!(identity.unwrap_one(ada, "account", &new).await.0, "ok");
    let sql = "SELECT operation, outcome, mek_version
               FROM audit_records JOIN audit_chains USING (chain_id)
               WHERE purpose IN ('master-key-1', 'master-key-2') OR subject = $1
               ORDER BY opened_at, number";
    let db = world.db().await;
    let rows = db.query_typed(sql, &[(&ada, Type::UUID)]).await;
    let rows = rows.expect("the audit");
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let (operation, outcome): (&str, &str) = (row.get(0), row.get(1));
            format!("{operation} {outcome} {}", row.get::<_, i64>(2))
        })
        .collect();
    assert_eq!(
        told,
        [
            "create ok 1",
            "activate_master_key ok 1",
            "rewrap ok 2",
            "settle asked 2",
            "settle ok 2",
            "schedule_destruction asked 2",
            "schedule_destruction ok 2",
            "destroy_master_key ok 2",
            "unwrap ok 2"
        ]
    );
}

#[tokio::test]
async fn rewraps_have_a_limit_of_their_own_and_hold_nobody_up_who_logs_in() {
    let world = world()
        .await
        .with("LIMIT_PER_SECOND", "100")
        .with("LIMIT_PER_DAY", "150");
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let batch = vec![item(ada, "account", &wrapped); 100];
    assert_eq!(identity.rewrap(&batch).await.status, 200);
    let refused = identity.rewrap(&batch).await;
    assert_eq!(refused.problem(), (429, "caller_limited"));
    assert!(refused.retry_after >= 1);
    // More than a day's keys, and still somebody logs in.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(identity.rewrap(&batch).await.status, 200);
    assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
    let nothing = identity.request("/v1/data-keys/rewrap");
    let answer = Answer::of(nothing.json(&json!({"items": []})))
        .await
        .expect("an answer");
    assert_eq!(answer.problem(), (400, "invalid_request"));
}
