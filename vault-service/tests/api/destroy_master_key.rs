//! The end of a master key that nothing depends on, and who brings it about.

use std::{fs, time::Duration};

use serde_json::json;
use shared::random;
use stack::until;
use tokio_postgres::types::Type;

use crate::{
    client::{Answer, item},
    rotation::{a_while_later, rotated, schedule, seen, settle, sql, world, wraps, write_keys},
    world::{KEY_FILE, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);

async fn cancel(world: &World, vault: &Vault, version: u32) -> Answer {
    let path = format!("/v1/master-keys/{version}/cancel");
    world.command(vault, "operator", &path, json!({})).await
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
    drop((vault, restarted));
    // Now it is taken out. Whatever is noted under it in error keeps no vault from starting.
    sql(&world, "UPDATE data_keys SET mek_version = 1").await;
    let keys = fs::read_to_string(world.folder().join(KEY_FILE)).expect("readable");
    let (_, newer) = keys.split_once('\n').expect("two lines");
    write_keys(&world, newer);
    let restarted = world.start().await;
    let identity = world.caller(&restarted, "identity");
    let opened = identity.unwrap(&[item(ada, "account", &new)]).await;
    assert_eq!(opened.statuses(), ["ok"]);
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
            let answer = world.command(&vault, service, path, body).await;
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

/// Takes version 1 out of the key file, and starts anew.
async fn without_version_1(world: &World) -> Vault {
    let keys = fs::read_to_string(world.folder().join(KEY_FILE)).expect("readable");
    let (_, newer) = keys.split_once('\n').expect("two lines");
    write_keys(world, newer);
    world.start().await
}

#[tokio::test]
async fn the_audit_of_a_destroyed_master_key_is_still_checked_and_no_other_passes_for_it() {
    let world = world().await;
    let vault = world.start().await;
    rotated(&world, &vault).await;
    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    destroyed(&world, &vault).await;
    drop(vault);
    let vault = without_version_1(&world).await;
    let identity = world.caller(&vault, "identity");
    identity.created(somebody(), "account").await;
    let held = world.verified(&[]);
    assert!(!held.contains("only"), "every record is checked: {held}");
    drop(vault);

    sql(&world, "CREATE TABLE kept AS SELECT * FROM audit_records").await;
    let (old, live) = (world.chain_of(1).await, world.chain_of(2).await);
    for (change, undo) in [
        // A record of the destroyed one.
        (
            format!(
                "UPDATE audit_records SET outcome = 'no' WHERE number = 1 AND chain_id = '{old}'"
            ),
            "UPDATE audit_records SET outcome = kept.outcome FROM kept
             WHERE kept.chain_id = audit_records.chain_id AND kept.number = audit_records.number",
        ),
        // One of the live one, which is said to be of the destroyed one.
        (
            format!("UPDATE audit_chains SET mek_version = 1 WHERE chain_id = '{live}'"),
            "UPDATE audit_chains SET mek_version = 2
             WHERE chain_id = (SELECT chain_id FROM audit_chains ORDER BY opened_at DESC LIMIT 1)",
        ),
    ] {
        sql(&world, &change).await;
        for arguments in [&[][..], &["--without", &old, "--without", &live]] {
            let told = world.broken(arguments);
            assert!(
                told.contains("not the one that was written"),
                "{change}: {told}"
            );
        }
        sql(&world, undo).await;
        assert_eq!(world.verified(&[]), held, "{undo}");
    }
    let gone = |told: String| assert!(told.contains("master key version 1 is not here"), "{told}");
    // One that was changed is told as such, and what is not there, whoever says that it need not be.
    sql(
        &world,
        "UPDATE kept_audit_keys SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)",
    )
    .await;
    let told = world.broken(&["--without", &old]);
    assert!(told.contains("is not what was kept"), "{told}");
    sql(&world, "DELETE FROM kept_audit_keys").await;
    gone(world.broken(&[]));
    sql(
        &world,
        &format!("UPDATE audit_chains SET mek_version = 1 WHERE chain_id = '{live}'"),
    )
    .await;
    gone(world.broken(&["--without", &old]));
}

#[tokio::test]
async fn a_record_that_no_number_leads_to_is_noticed() {
    let world = world().await;
    let vault = world.start().await;
    let identity = world.caller(&vault, "identity");
    identity.created(somebody(), "account").await;
    world.verified(&[]);
    for statement in [
        "ALTER TABLE audit_records DROP CONSTRAINT audit_records_number_check",
        "INSERT INTO audit_records SELECT chain_id, -1, at, caller, operation, purpose, subject, dek_id, outcome, request_id, mac
         FROM audit_records WHERE number = 1",
    ] {
        sql(&world, statement).await;
    }
    assert!(
        world
            .broken(&[])
            .contains("more records than it has numbers")
    );
}

#[tokio::test]
async fn a_kept_audit_key_that_was_changed_is_put_right_and_nothing_is_destroyed_without_one() {
    let world = world().await;
    let vault = world.start().await;
    rotated(&world, &vault).await;
    let kept = async || {
        let sql = "SELECT sealed FROM kept_audit_keys WHERE mek_version = 1";
        let row = world.db().await.query_typed_opt(sql, &[]).await;
        row.expect("the table").map(|row| row.get::<_, Vec<u8>>(0))
    };
    let before = until("kept", LIMIT, async || kept().await.ok_or("none"));
    let before = before.await.expect("in time");
    let spoilt =
        "UPDATE kept_audit_keys SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)";
    sql(&world, spoilt).await;
    let spoilt = kept().await;
    until("put right", LIMIT, async || {
        let now = kept().await;
        (now != spoilt && now.as_ref() != Some(&before))
            .then_some(())
            .ok_or("not yet")
    })
    .await
    .expect("in time");
    world.verified(&[]);

    a_while_later(&world).await;
    assert_eq!(settle(&world, &vault, "identity", 2).await.status, 200);
    until("nothing left behind", LIMIT, async || {
        let seen = seen(&world, &vault, 1).await;
        let free = seen["slots"] == 0 && seen["data_keys"] == json!([]);
        free.then_some(()).ok_or(seen)
    })
    .await
    .expect("in time");
    drop(vault);
    // Nobody has version 1 any more, and what was kept of it is gone.
    let vault = without_version_1(&world).await;
    sql(&world, "DELETE FROM kept_audit_keys").await;
    assert_eq!(schedule(&world, &vault, 1, 7).await.status, 200);
    sql(
        &world,
        "UPDATE master_keys SET destroy_at = destroy_at - interval '7 days' WHERE version = 1",
    )
    .await;
    // A replica says that it runs in the very look that would have destroyed it.
    let due = "SELECT clock_timestamp()::text";
    let due = world.db().await.query_typed_one(due, &[]).await;
    let due: String = due.expect("a time").get(0);
    until("another look", LIMIT, async || {
        let looks = "SELECT count(*) FROM replicas WHERE seen_at > $1::text::timestamptz + interval '1 second'";
        let looked = world.db().await.query_typed_one(looks, &[(&due, Type::TEXT)]).await;
        let looked: i64 = looked.expect("the table").get(0);
        (looked == 1).then_some(()).ok_or(looked)
    })
    .await
    .expect("in time");
    assert_eq!(
        seen(&world, &vault, 1).await["state"],
        "destruction_scheduled"
    );
}

#[tokio::test]
async fn kept_audit_keys_move_on_with_the_next_master_key() {
    let world = world().await;
    let vault = world.start().await;
    rotated(&world, &vault).await;
    let under = async |version: i64| {
        let sql = "SELECT sealed_under FROM kept_audit_keys WHERE mek_version = $1";
        let db = world.db().await;
        let row = db.query_typed_opt(sql, &[(&version, Type::INT8)]).await;
        row.expect("the table")
            .map_or(0, |row| row.get::<_, i64>(0))
    };
    let moved = async |version: i64, to: i64| {
        until("the kept key", LIMIT, async || {
            let is = under(version).await;
            (is == to).then_some(()).ok_or(is)
        })
        .await
        .expect("in time");
    };
    moved(1, 2).await;
    let keys = fs::read_to_string(world.folder().join(KEY_FILE)).expect("readable");
    let newest = hex::encode(random::bytes::<32>());
    write_keys(&world, &format!("{keys}3:{newest}\n"));
    wraps(&world, &vault, 3).await;
    moved(1, 3).await;
    moved(2, 3).await;
    assert_eq!(under(3).await, 0, "what wraps keeps its own");
}
