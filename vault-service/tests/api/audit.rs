//! The audit: nothing is opened that is not in it, and nothing that was done to it stays hidden.

use std::{
    collections::HashSet,
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    client::{Client, item},
    program::{PROGRAM, listening, start, stop},
    world::{Vault, World, somebody, vault},
};

impl World {
    /// What the program says of the audit.
    fn audit(&self, arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .arg("audit")
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .output()
            .expect("the program runs")
    }

    pub(crate) fn verified(&self, arguments: &[&str]) -> String {
        let output = self.audit(&[&["verify"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        told
    }

    /// What is wrong with it, as the program tells.
    pub(crate) fn broken(&self, arguments: &[&str]) -> String {
        let output = self.audit(&[&["verify"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The newest chain that is said to be of that master key.
    pub(crate) async fn chain_of(&self, version: i64) -> String {
        let sql = "SELECT chain_id FROM audit_chains WHERE mek_version = $1 ORDER BY opened_at DESC LIMIT 1";
        let db = self.db().await;
        let row = db.query_typed_one(sql, &[(&version, Type::INT8)]).await;
        row.expect("a chain").get::<_, Uuid>(0).to_string()
    }

    async fn change(&self, sql: &str) -> u64 {
        self.db().await.execute(sql, &[]).await.expect(sql)
    }
}

/// What was recorded of a subject, newest first.
async fn records_of(identity: &Client, subject: Uuid) -> Vec<Value> {
    let path = format!("/v1/audit?subject={subject}");
    let answer = identity.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["records"].as_array().expect("a list").clone()
}

/// Operation and outcome of each.
fn outcomes(records: &[Value]) -> Vec<(&str, &str)> {
    records
        .iter()
        .map(|record| {
            let (operation, outcome) = (&record["operation"], &record["outcome"]);
            (
                operation.as_str().expect("a text"),
                outcome.as_str().expect("a text"),
            )
        })
        .collect()
}

/// A vault that has opened a few keys.
async fn used() -> (World, Vault, Uuid) {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    for _ in 0..3 {
        let opened = identity.unwrap(&[item(ada, "account", &wrapped)]).await;
        assert_eq!(opened.statuses(), ["ok"]);
    }
    (world, vault, ada)
}

#[tokio::test]
async fn whatever_is_made_opened_refused_and_destroyed_is_there_with_who_and_why() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let one = item(ada, "account", &wrapped);
    let foreign = item(ada, "entries", &wrapped);
    let mut changed = wrapped.clone();
    changed[100] ^= 1;
    let changed = item(ada, "account", &changed);
    let answer = identity.unwrap(&[one.clone(), foreign, changed]).await;
    assert_eq!(
        answer.statuses(),
        ["ok", "not_allowed", "wrapped_key_refused"]
    );
    let journal = world.caller(&vault, "journal");
    assert_eq!(journal.create(ada, "entries").await.status, 403);
    let shredder = world.shredder(&vault, "identity");
    assert_eq!(shredder.shred(ada, &json!({})).await.status, 202);
    assert_eq!(identity.unwrap(&[one]).await.statuses(), ["shred_pending"]);
    assert_eq!(
        shredder
            .shred(ada, &json!({ "wait_seconds": 0 }))
            .await
            .status,
        200
    );

    let records = records_of(&identity, ada).await;
    assert_eq!(
        outcomes(&records),
        [
            ("purge", "ok"),
            ("shred", "ok"),
            ("shred", "asked"),
            ("unwrap", "shred_pending"),
            ("shred", "ok"),
            ("shred", "asked"),
            ("create", "user_token_required"),
            ("unwrap", "wrapped_key_refused"),
            ("unwrap", "not_allowed"),
            ("unwrap", "ok"),
            ("create", "ok"),
        ]
    );
    assert_eq!(records[0].get("caller"), None);
    assert_eq!(records[6]["caller"], "journal");
    assert_eq!(records[10]["caller"], "identity");
    assert_eq!(records[10]["purpose"], "account");
    assert_eq!(records[9]["dek_id"], records[10]["dek_id"]);
    assert!(records[10]["request_id"].is_string());
    assert_eq!(world.verified(&[]), "12 records in 1 chains hold\n");
    // Nobody else reads it, and what is no question is refused.
    let refused = journal.get(&format!("/v1/audit?subject={ada}")).await;
    assert_eq!(refused.problem(), (403, "not_allowed"));
    for wrong in ["", "?subject=me", "?before=now"] {
        assert_eq!(identity.get(&format!("/v1/audit{wrong}")).await.status, 400);
    }
}

#[tokio::test]
async fn pages_of_the_audit_lose_no_record_of_any_moment() {
    let (world, vault, ada) = used().await;
    let identity = world.caller(&vault, "identity");
    let (wrapped, _) = identity.created(ada, "account").await;
    // Each batch is of one moment, and more than a page.
    for batch in [70, 100, 60] {
        let items = vec![item(ada, "account", &wrapped); batch];
        assert_eq!(identity.unwrap(&items).await.status, 200);
    }
    let mut path = format!("/v1/audit?subject={ada}");
    let (mut seen, mut pages) = (0, 0);
    loop {
        let answer = identity.get(&path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let records = answer.body["records"].as_array().expect("a list");
        let Some(last) = records.last() else { break };
        (seen, pages) = (seen + records.len(), pages + 1);
        let before = last["at"].as_str().expect("a time");
        path = format!("/v1/audit?subject={ada}&before={before}");
    }
    assert_eq!(seen, 5 + 70 + 100 + 60);
    assert!(pages > 1, "{pages}");
}

#[tokio::test]
async fn two_hundred_requests_at_once_leave_two_hundred_records_in_one_whole_chain() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let mut opening = JoinSet::new();
    for _ in 0..200 {
        let (identity, item) = (identity.clone(), item(ada, "account", &wrapped));
        opening.spawn(async move { identity.unwrap(&[item]).await });
    }
    for answer in opening.join_all().await {
        assert_eq!(answer.statuses(), ["ok"]);
    }
    assert_eq!(world.verified(&[]), "202 records in 1 chains hold\n");
}

#[tokio::test]
async fn no_change_to_a_record_goes_unnoticed() {
    let (world, _vault, _) = used().await;
    let third = "WHERE number = 2";
    for (column, value) in [
        ("at", "at + interval '1 microsecond'"),
        ("caller", "'journal'"),
        ("caller", "NULL"),
        ("operation", "'create'"),
        ("purpose", "'outbox'"),
        ("subject", "gen_random_uuid()"),
        ("dek_id", "NULL"),
        ("outcome", "'shredded'"),
        ("request_id", "NULL"),
        ("mac", "decode(repeat('00', 32), 'hex')"),
    ] {
        world
            .change("CREATE TABLE kept AS TABLE audit_records")
            .await;
        let changed = format!("UPDATE audit_records SET {column} = {value} {third}");
        assert_eq!(world.change(&changed).await, 1, "{column}");
        let told = world.broken(&[]);
        assert!(told.contains("record 2 is not the one"), "{column}: {told}");
        world.change("DELETE FROM audit_records").await;
        world
            .change("INSERT INTO audit_records SELECT * FROM kept")
            .await;
        world.change("DROP TABLE kept").await;
        assert_eq!(world.verified(&[]), "5 records in 1 chains hold\n");
    }
}

#[tokio::test]
async fn nothing_is_removed_swapped_or_added_unnoticed() {
    for (sql, told) in [
        ("DELETE FROM audit_records WHERE number = 2", "record 2 is missing"),
        ("DELETE FROM audit_records WHERE number = 0", "record 0 is missing"),
        (
            "UPDATE audit_records SET number = CASE number WHEN 2 THEN 103 WHEN 3 THEN 102 END
             WHERE number IN (2, 3)",
            "record 2 is missing",
        ),
        (
            "INSERT INTO audit_records SELECT chain_id, 5, at, caller, operation, purpose, subject, dek_id,
                                              outcome, request_id, mac
             FROM audit_records WHERE number = 4",
            "record 5 is not the one",
        ),
        (
            "DELETE FROM audit_records; UPDATE audit_chains SET opened_at = opened_at",
            "it has no records",
        ),
        (
            "UPDATE audit_chains SET others = decode(repeat('00', 56), 'hex')",
            "record 0 is not the one",
        ),
        (
            "INSERT INTO audit_records SELECT gen_random_uuid(), number, at, caller, operation, purpose, subject,
                                              dek_id, outcome, request_id, mac
             FROM audit_records",
            "it has records and was never begun",
        ),
        (
            "DELETE FROM audit_chains",
            "it has records and was never begun",
        ),
    ] {
        let (world, _vault, _) = used().await;
        world.db().await.batch_execute(sql).await.expect(sql);
        let found = world.broken(&[]);
        assert!(found.contains(told), "{sql}: {found}");
    }
    // Two records change places with their numbers and MACs left behind.
    let (world, _vault, ada) = used().await;
    let swap = "UPDATE audit_records AS one SET at = other.at, request_id = other.request_id
                FROM audit_records AS other
                WHERE one.number + other.number = 5 AND one.number IN (2, 3)";
    assert_eq!(world.change(swap).await, 2, "{ada}");
    assert!(world.broken(&[]).contains("record 2 is not the one"));
}

#[tokio::test]
async fn a_tail_that_is_cut_off_shows_by_a_later_chain_and_by_a_head_that_was_kept() {
    let (world, vault, _) = used().await;
    let kept = world.folder().join("head");
    let head = world.audit(&["head"]);
    assert!(head.status.success(), "{head:?}");
    fs::write(&kept, &head.stdout).expect("a file");
    let kept = kept.display().to_string();
    assert_eq!(
        world.verified(&["--head", &kept]),
        "5 records in 1 chains hold\n"
    );
    let identity = world.caller(&vault, "identity");
    let told = identity.get("/v1/audit/head").await;
    let heads = told.body["heads"].as_array().expect("a list");
    let line: Value = serde_json::from_slice(&head.stdout).expect("JSON");
    assert_eq!(heads[0], line);

    world
        .change("CREATE TABLE kept AS TABLE audit_records")
        .await;
    let cut = "DELETE FROM audit_records WHERE number > 2";
    assert_eq!(world.change(cut).await, 2);
    // A chain cannot show this of itself.
    assert_eq!(world.verified(&[]), "3 records in 1 chains hold\n");
    let told = world.broken(&["--head", &kept]);
    assert!(
        told.contains("ends with record 2, and record 4 was there"),
        "{told}"
    );
    world.change("DELETE FROM audit_records").await;
    world
        .change("INSERT INTO audit_records SELECT * FROM kept")
        .await;

    // Another replica begins its own chain, which notes where the first was.
    let other = world.start().await;
    let identity = world.caller(&other, "identity");
    identity.created(somebody(), "account").await;
    assert_eq!(
        world.verified(&["--head", &kept]),
        "7 records in 2 chains hold\n"
    );
    let first = "chain_id = (SELECT chain_id FROM audit_chains ORDER BY opened_at LIMIT 1)";
    world
        .change(&format!(
            "DELETE FROM audit_records WHERE number > 2 AND {first}"
        ))
        .await;
    let told = world.broken(&[]);
    assert!(
        told.contains("ends with record 2, and record 4 was there"),
        "{told}"
    );
    world
        .change(&format!("DELETE FROM audit_records WHERE {first}"))
        .await;
    world
        .change(&format!("DELETE FROM audit_chains WHERE {first}"))
        .await;
    let told = world.broken(&[]);
    assert!(told.contains("it is gone"), "{told}");
    let nonsense = world.folder().join("nonsense");
    fs::write(&nonsense, "{}\n").expect("a file");
    let told = world.broken(&["--head", &nonsense.display().to_string()]);
    assert!(told.contains("is no line of `audit head`"), "{told}");
}

#[tokio::test]
async fn a_history_that_was_written_with_another_key_is_none() {
    let (world, _vault, _) = used().await;
    world.verified(&[]);
    let other = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";
    let world = world.with("MASTER_ENCRYPTION_KEY", other);
    assert!(world.broken(&[]).contains("record 0 is not the one"));
    // Where the version is not even known, nothing can be said of it: and that is told as a failure.
    let world = world.with("MASTER_ENCRYPTION_KEY", &format!("2:{other}"));
    assert!(
        world
            .broken(&[])
            .contains("master key version 1 is not here")
    );
    let chain = world.chain_of(1).await;
    let told = world.verified(&["--without", &chain]);
    assert!(
        told.contains("0 records in 0 chains hold\nheld only against"),
        "{told}"
    );
}

#[tokio::test]
async fn a_chain_that_is_given_another_master_key_does_not_get_away_with_it() {
    let (world, vault, _) = used().await;
    let kept = world.folder().join("head");
    fs::write(&kept, &world.audit(&["head"]).stdout).expect("a file");
    let kept = kept.display().to_string();
    drop(vault);
    world
        .db()
        .await
        .batch_execute(
            "INSERT INTO master_keys (version, kcv, first_seen_at) VALUES (9, '\\x0102030405060708', now());
             UPDATE audit_chains SET mek_version = 9;
             DELETE FROM audit_records WHERE number > 3;
             UPDATE audit_records SET subject = gen_random_uuid() WHERE number = 3",
        )
        .await
        .expect("they may write");
    assert!(
        world
            .broken(&[])
            .contains("master key version 9 is not here")
    );
    // Even whoever believes that version 9 was destroyed sees what was noted elsewhere.
    let chain = world.chain_of(9).await;
    let told = world.broken(&["--without", &chain, "--head", &kept]);
    assert!(
        told.contains("ends with record 3, and record 4 was there"),
        "{told}"
    );
}

#[tokio::test]
async fn a_replica_whose_chain_is_cut_off_under_it_notes_where_it_was() {
    let (world, vault, ada) = used().await;
    let identity = world.caller(&vault, "identity");
    world
        .db()
        .await
        .batch_execute("DELETE FROM audit_records; DELETE FROM audit_chains")
        .await
        .expect("they may write");
    // The next record does not fit anywhere; the one after it begins another chain.
    let again = stack::until("the audit", Duration::from_secs(15), async || {
        let answer = identity.create(ada, "account").await;
        (answer.status == 200).then_some(()).ok_or(answer.status)
    });
    again.await.expect("it recovers");
    assert!(world.broken(&[]).contains("it is gone"));
}

#[tokio::test]
async fn while_the_audit_takes_nothing_nothing_is_given_away_and_nobody_waits_long() {
    let (world, vault, ada) = used().await;
    let identity = world.caller(&vault, "identity");
    let (wrapped, _) = identity.created(ada, "account").await;
    let mut db = world.db().await;
    let blocking = db.transaction().await.expect("a transaction");
    blocking
        .batch_execute("LOCK TABLE audit_records IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("the lock");
    let begun = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..20 {
        let (identity, item) = (identity.clone(), item(ada, "account", &wrapped));
        asking.spawn(async move {
            match number % 2 {
                0 => identity.unwrap(&[item]).await,
                _ => identity.create(ada, "account").await,
            }
        });
    }
    let answers = asking.join_all().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    for answer in answers {
        assert_eq!(answer.problem(), (503, "unavailable"));
        assert!(!answer.body.to_string().contains("plaintext_key"));
    }
    let shredded = world
        .shredder(&vault, "identity")
        .shred(ada, &json!({}))
        .await;
    assert_eq!(shredded.status, 503, "{shredded:?}");
    blocking.rollback().await.expect("the lock is given up");
    drop(db);

    let again = stack::until("the audit", Duration::from_secs(15), async || {
        let answer = identity.unwrap(&[item(ada, "account", &wrapped)]).await;
        (answer.status == 200).then_some(answer).ok_or("not yet")
    });
    assert_eq!(again.await.expect("it recovers").statuses(), ["ok"]);
    world.verified(&[]);
    // A shred that could not be recorded was not begun.
    let shreds = world.db().await;
    let shreds = shreds.query_one("SELECT count(*) FROM shreds", &[]).await;
    assert_eq!(shreds.expect("a count").get::<_, i64>(0), 0);
}

/// Of the first chain, as `others` of a later one would note it.
const ITS_HEAD: &str = "(SELECT uuid_send(chain_id) || int8send(number) || mac FROM audit_records ORDER BY number DESC LIMIT 1)";

#[tokio::test]
async fn a_chain_is_noted_by_the_next_one_whatever_somebody_says_was_noted() {
    let forged = "'00000000-0000-4000-8000-00000000dead'";
    for (says, unsays) in [
        (
            format!(
                "INSERT INTO audit_chains (chain_id, mek_version, opened_at, others) VALUES ({forged}, 1, now(), {ITS_HEAD})"
            ),
            format!("DELETE FROM audit_chains WHERE chain_id = {forged}"),
        ),
        (
            format!("UPDATE audit_chains SET others = {ITS_HEAD}"),
            "UPDATE audit_chains SET others = '' WHERE opened_at = (SELECT min(opened_at) FROM audit_chains)".to_owned(),
        ),
    ] {
        let (world, _vault, _) = used().await;
        let db = world.db().await;
        db.batch_execute(&says).await.expect(&says);
        let other = world.start().await;
        let identity = world.caller(&other, "identity");
        identity.created(somebody(), "account").await;
        db.batch_execute(&unsays).await.expect(&unsays);
        assert_eq!(world.verified(&[]), "7 records in 2 chains hold\n");
        let cut = "DELETE FROM audit_records WHERE number > 2";
        assert_eq!(world.change(cut).await, 2);
        let told = world.broken(&[]);
        assert!(told.contains("record 4 was there"), "{says}: {told}");
    }
}

#[tokio::test]
async fn the_log_has_heads_that_show_what_was_cut_off() {
    let world = World::new().await;
    let (mut program, log) = start(&world);
    let vault = listening(&log).await;
    let identity = world.caller(&vault, "identity");
    let heads = || {
        let log = fs::read_to_string(&log).expect("the log");
        let lines = log.lines().filter(|line| line.contains("audit head"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    identity.created(somebody(), "account").await;
    stack::until("a head", Duration::from_secs(20), async || {
        let heads = heads().len();
        (heads == 1).then_some(()).ok_or(heads)
    })
    .await
    .expect("it is told without being asked");
    identity.created(somebody(), "account").await;
    stop(&mut program).await;
    let kept = world.folder().join("heads");
    fs::write(&kept, heads().join("\n")).expect("a file");
    let kept = kept.display().to_string();
    assert_eq!(
        world.verified(&["--head", &kept]),
        "3 records in 1 chains hold\n"
    );
    let cut = "DELETE FROM audit_records WHERE number > 1";
    assert_eq!(world.change(cut).await, 1);
    world.verified(&[]);
    let told = world.broken(&["--head", &kept]);
    assert!(
        told.contains("ends with record 1, and record 2 was there"),
        "{told}"
    );
}

#[tokio::test]
async fn replicas_that_begin_at_once_keep_chains_of_their_own() {
    let world = World::new().await;
    let mut running = JoinSet::new();
    let vaults = [
        world.start().await,
        world.start().await,
        world.start().await,
    ];
    for vault in &vaults {
        let identity = world.caller(vault, "identity");
        running.spawn(async move {
            for _ in 0..5 {
                identity.created(somebody(), "account").await;
            }
        });
    }
    running.join_all().await;
    assert_eq!(world.verified(&[]), "18 records in 3 chains hold\n");
    let rows = world
        .db()
        .await
        .query("SELECT DISTINCT chain_id FROM audit_records", &[])
        .await;
    let chains: HashSet<Uuid> = rows.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(chains.len(), 3);
}
