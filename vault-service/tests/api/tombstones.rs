//! Whoever was shredded stays shredded, whatever backup the database comes from.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use shared::service::StartError;
use stack::until;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::world::{Vault, World, somebody};

const LIMIT: Duration = Duration::from_secs(20);

/// A world whose vault keeps a tombstone file.
async fn world() -> (World, PathBuf) {
    let world = World::new().await;
    let file = world.folder().join("tombstones");
    let name = file.display().to_string();
    (world.with("TOMBSTONE_FILE", &name), file)
}

async fn stop(vault: Vault) {
    vault.trigger.request();
    let ended = tokio::time::timeout(LIMIT, vault.running).await;
    ended
        .expect("it stops")
        .expect("no panic")
        .expect("cleanly");
}

/// Why a vault that was started ends by itself.
async fn refusal(vault: Vault) -> String {
    let ended = tokio::time::timeout(LIMIT, vault.running).await;
    match ended.expect("it refuses to serve").expect("no panic") {
        Err(StartError::Settings(problems)) => problems.to_string(),
        other => panic!("the file should be refused: {other:?}"),
    }
}

/// Two people with a key each, and what the vault's database was before anybody was shredded.
struct Before {
    people: [(Uuid, Vec<u8>); 2],
    salts: Vec<(Uuid, Vec<u8>)>,
}

impl Before {
    async fn of(world: &World, vault: &Vault) -> Self {
        let identity = world.caller(vault, "identity");
        let (ada, bob) = (somebody(), somebody());
        let people = [
            (ada, identity.created(ada, "account").await.0),
            (bob, identity.created(bob, "account").await.0),
        ];
        let rows = world
            .db()
            .await
            .query_typed("SELECT subject, sealed_salt FROM subjects", &[])
            .await
            .expect("rows");
        let salts = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        Self { people, salts }
    }

    /// Puts an old backup back: no shreds, all salts.
    async fn restore(&self, world: &World) {
        let db = world.db().await;
        db.batch_execute("TRUNCATE shreds, data_keys, spent_tokens")
            .await
            .expect("emptied");
        self.restore_salts(world).await;
    }

    async fn restore_salts(&self, world: &World) {
        let db = world.db().await;
        for (subject, salt) in &self.salts {
            db.execute_typed(
                "UPDATE subjects SET sealed_salt = $2, mek_version = 1 WHERE subject = $1",
                &[(subject, Type::UUID), (salt, Type::BYTEA)],
            )
            .await
            .expect("a salt that is back");
        }
    }

    async fn statuses(&self, world: &World, vault: &Vault) -> Vec<String> {
        let identity = world.caller(vault, "identity");
        let mut statuses = Vec::new();
        for (subject, wrapped) in &self.people {
            let (status, _) = identity.unwrap_one(*subject, "account", wrapped).await;
            statuses.push(status);
        }
        statuses
    }
}

fn lines(file: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(file).expect("the file");
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_restored_backup_brings_nobody_back() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let before = Before::of(&world, &vault).await;
    let ada = before.people[0].0;
    let shred = world.shredder(&vault, "identity").shredded(ada, 0).await;
    assert_eq!(
        lines(&file),
        [shred["receipt"].as_str().expect("a receipt")]
    );
    stop(vault).await;

    before.restore(&world).await;
    // What the file is for: without it the backup would bring her back.
    let without = world.start_without("TOMBSTONE_FILE").await;
    assert_eq!(before.statuses(&world, &without).await, ["ok", "ok"]);
    stop(without).await;

    let vault = world.start().await;
    assert_eq!(before.statuses(&world, &vault).await, ["shredded", "ok"]);
    let identity = world.shredder(&vault, "identity");
    let again = identity.read(&shred).await;
    assert_eq!(again.body["receipt"], shred["receipt"]);
    assert_eq!(
        identity.client.create(ada, "account").await.problem(),
        (410, "shredded")
    );
    assert_eq!(lines(&file).len(), 1);
}

#[tokio::test]
async fn a_shred_that_waits_in_the_backup_is_ended_by_its_tombstone() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let before = Before::of(&world, &vault).await;
    let ada = before.people[0].0;
    let identity = world.shredder(&vault, "identity");
    let pending = identity.shredded(ada, 3600).await;
    identity.shredded(ada, 0).await;
    stop(vault).await;
    // The backup is from between the two.
    world
        .db()
        .await
        .batch_execute("UPDATE shreds SET purged_at = NULL, receipt = NULL, purge_at = now() + interval '1 hour'")
        .await
        .expect("the state of then");
    before.restore_salts(&world).await;
    let vault = world.start().await;
    assert_eq!(before.statuses(&world, &vault).await, ["shredded", "ok"]);
    let identity = world.shredder(&vault, "identity");
    assert_eq!(identity.read(&pending).await.body["state"], "purged");
    assert_eq!(identity.restore(ada).await.problem(), (410, "shredded"));
    assert_eq!(lines(&file).len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_line() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let identity = world.shredder(&vault, "identity");
    for _ in 0..3 {
        identity.shredded(somebody(), 0).await;
    }
    stop(vault).await;
    let good = fs::read_to_string(&file).expect("the file");
    let of_another_vault = {
        let other = World::new().await.with(
            "MASTER_ENCRYPTION_KEY",
            "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d",
        );
        let vault = other.start().await;
        let shred = other
            .shredder(&vault, "identity")
            .shredded(somebody(), 0)
            .await;
        shred["receipt"].as_str().expect("a receipt").to_owned()
    };
    let replaced = |number: usize, with: &str| {
        let mut lines: Vec<_> = good.lines().collect();
        lines[number - 1] = with;
        format!("{}\n", lines.join("\n"))
    };
    let cut = &good.lines().next().expect("a line")[..100];
    let flipped = good.lines().nth(2).expect("a line").replacen('e', "f", 1);
    for (damage, line) in [
        (replaced(2, ""), 2),
        (replaced(1, cut), 1),
        (replaced(3, &flipped), 3),
        (replaced(2, "nonsense"), 2),
        (replaced(2, &of_another_vault), 2),
    ] {
        fs::write(&file, &damage).expect("the damage");
        let told = refusal(world.start().await).await;
        assert!(
            told.contains("TOMBSTONE_FILE") && told.contains(&format!("line {line} ")),
            "{told}"
        );
        assert_eq!(
            fs::read_to_string(&file).expect("the file"),
            damage,
            "it was changed"
        );
    }
    fs::write(&file, good).expect("the good one");
    stop_when_ready(world.start().await, &world).await;
}

async fn stop_when_ready(vault: Vault, world: &World) {
    let identity = world.caller(&vault, "identity");
    assert_eq!(identity.create(somebody(), "account").await.status, 200);
    stop(vault).await;
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_was_never_confirmed_and_is_taken_out() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let before = Before::of(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    identity.shredded(somebody(), 0).await;
    let whole = fs::read_to_string(&file).expect("the file");
    let cut = format!("{whole}{}", &whole[..whole.len() / 2]);

    // While it runs, the next line must not be joined to the rest of that one.
    fs::write(&file, &cut).expect("the crash of another replica");
    identity.shredded(before.people[0].0, 0).await;
    assert_eq!(lines(&file).len(), 2);
    stop(vault).await;

    let two = fs::read_to_string(&file).expect("the file");
    fs::write(&file, format!("{two}{}", &whole[..20])).expect("a crash");
    let vault = world.start().await;
    assert_eq!(before.statuses(&world, &vault).await, ["shredded", "ok"]);
    assert_eq!(fs::read_to_string(&file).expect("the file"), two);
}

#[tokio::test]
async fn a_copy_of_the_file_that_lost_its_last_newline_brings_nobody_back() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let before = Before::of(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    identity.shredded(before.people[0].0, 0).await;
    stop(vault).await;
    let whole = fs::read_to_string(&file).expect("the file");
    fs::write(&file, whole.trim_end()).expect("a copy");
    before.restore(&world).await;
    let vault = world.start().await;
    assert_eq!(before.statuses(&world, &vault).await, ["shredded", "ok"]);
    assert_eq!(fs::read_to_string(&file).expect("the file"), whole);
}

#[tokio::test]
async fn nothing_is_confirmed_that_is_not_in_the_file() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let before = Before::of(&world, &vault).await;
    let ada = before.people[0].0;
    let identity = world.shredder(&vault, "identity");
    fs::remove_file(&file).expect("the file goes missing");
    let answer = identity.shred(ada, &json!({"wait_seconds": 0})).await;
    assert_eq!(answer.problem(), (503, "unavailable"));
    assert_eq!(
        before.statuses(&world, &vault).await,
        ["shred_pending", "ok"]
    );
    assert!(!file.exists(), "it was made anew");
    // As soon as there is a file again, it goes on by itself.
    fs::write(&file, "").expect("a file");
    let ended = until("purged", LIMIT, async || {
        match before.statuses(&world, &vault).await {
            statuses if statuses[0] == "shredded" => Ok(()),
            statuses => Err(format!("{statuses:?}")),
        }
    });
    ended.await.expect("it goes on");
    assert_eq!(lines(&file).len(), 1);
}

#[tokio::test]
async fn a_file_that_comes_later_and_one_of_another_replica_get_every_tombstone() {
    let (world, file) = world().await;
    let without = world.start_without("TOMBSTONE_FILE").await;
    let identity = world.shredder(&without, "identity");
    let early = identity.shredded(somebody(), 0).await;
    let with = world.start().await;
    until("written", LIMIT, async || has(&file, &early))
        .await
        .expect("at start");
    let late = identity.shredded(somebody(), 0).await;
    until("written", LIMIT, async || has(&file, &late))
        .await
        .expect("while it runs");
    stop(with).await;
    assert_eq!(lines(&file).len(), 2);
}

#[tokio::test]
async fn a_replica_that_never_lets_go_of_the_file_holds_nobody_up_for_ever() {
    let (world, file) = world().await;
    let vault = world.start().await;
    let identity = world.shredder(&vault, "identity");
    identity.shredded(somebody(), 0).await;
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let held = fs::File::open(&file).expect("the file");
    held.lock().expect("nobody else has it");
    let ada = somebody();
    let at_once = json!({"wait_seconds": 0});
    let asked = identity.shred(ada, &at_once);
    let answer = tokio::time::timeout(LIMIT, asked).await.expect("an answer");
    assert_eq!(answer.problem(), (503, "unavailable"));
    drop(held);
    assert_eq!(identity.shredded(ada, 0).await["state"], "purged");
    assert_eq!(lines(&file).len(), 2);
}

fn has(file: &PathBuf, shred: &Value) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let receipt = shred["receipt"].as_str().expect("a receipt");
    if text.contains(receipt) {
        Ok(())
    } else {
        Err(text)
    }
}
