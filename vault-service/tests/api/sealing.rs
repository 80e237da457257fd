//! A vault that somebody has to open.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use reqwest::Client as Http;
use serde_json::{Value, json};
use shared::random;
use stack::until;

use crate::{
    client::{Answer, item},
    memory::{places, wrap_key_turned_over},
    program::PROGRAM,
    world::{MASTER_KEY, Vault, World, somebody},
};

const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const PHRASE: &str = "correct horse battery staple";

/// Runs the program for whoever holds the master keys.
fn program(arguments: &[&str], keys: &str, input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("MASTER_ENCRYPTION_KEY", keys)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    // It may not want to read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

pub(crate) fn keyring(world: &World) -> String {
    world.folder().join("keyring").display().to_string()
}

/// Three of five shares open what is sealed in the file of that name.
pub(crate) fn split(file: &str, keys: &str) -> Vec<String> {
    let arguments = [
        "shares",
        "create",
        "--keyring",
        file,
        "--needed",
        "3",
        "--shares",
        "5",
    ];
    let output = program(&arguments, keys, "");
    assert!(output.status.success(), "{output:?}");
    let shares = String::from_utf8(output.stdout).expect("text");
    shares.lines().map(str::to_owned).collect()
}

fn seal_with_passphrase(file: &str, keys: &str) {
    let arguments = ["passphrase", "create", "--keyring", file];
    let output = program(&arguments, keys, &format!("{PHRASE}\n"));
    assert!(output.status.success(), "{output:?}");
}

/// The same world, whose master keys are sealed.
fn sealed(mut world: World) -> World {
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

pub(crate) async fn unseal(world: &World, vault: &Vault, body: Value) -> Answer {
    command(world, vault, "operator", "/v1/unseal", body).await
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
        let refused = command(&world, &vault, service, "/v1/seal", json!({})).await;
        assert_eq!(refused.problem(), (403, "not_allowed"));
        let refused = command(
            &world,
            &vault,
            service,
            "/v1/unseal",
            json!({"passphrase": PHRASE}),
        )
        .await;
        assert_eq!(refused.problem(), (403, "not_allowed"));
    }
    let closed = command(&world, &vault, "operator", "/v1/seal", json!({})).await;
    assert_eq!((closed.status, &closed.body["sealed"]), (200, &json!(true)));
    assert_eq!(ready(&vault, 503).await["checks"]["key_memory"], "empty");
    let refused = identity.unwrap(&[item(ada, "account", &wrapped)]).await;
    assert_eq!(refused.problem(), (503, "sealed"));
    opens_with_passphrase(&world, &vault).await;
    let opened = identity.unwrap_one(ada, "account", &wrapped).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
}

#[tokio::test]
async fn a_sealed_vault_has_no_key_left_in_its_memory() {
    let master_key = hex::encode(random::bytes::<32>());
    let world = World::new().await;
    seal_with_passphrase(&keyring(&world), &master_key);
    let world = sealed(world);
    let vault = world.start().await;
    let wanted = wrap_key_turned_over(&master_key);
    opens_with_passphrase(&world, &vault).await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    assert_eq!(identity.unwrap_one(ada, "account", &wrapped).await.0, "ok");
    assert!(
        places("self", &wanted).len() >= 1,
        "the search finds nothing"
    );
    let closed = command(&world, &vault, "operator", "/v1/seal", json!({})).await;
    assert_eq!(closed.status, 200);
    assert_eq!(places("self", &wanted).len(), 0);
}

#[tokio::test]
async fn a_key_file_vault_that_is_sealed_has_no_key_left_either() {
    let master_key = hex::encode(random::bytes::<32>());
    let world = World::new().await.with_key_file(&master_key);
    let vault = world.start().await;
    ready(&vault, 200).await;
    let wanted = wrap_key_turned_over(&master_key);
    assert!(
        places("self", &wanted).len() >= 1,
        "the search finds nothing"
    );
    let closed = command(&world, &vault, "operator", "/v1/seal", json!({})).await;
    assert_eq!(closed.status, 200);
    assert_eq!(places("self", &wanted).len(), 0);
}

#[tokio::test]
async fn wrong_attempts_make_everybody_wait_even_with_the_right_one() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    for _ in 0..5 {
        let wrong = unseal(&world, &vault, json!({"passphrase": "guess"})).await;
        assert_eq!(wrong.problem(), (403, "unseal_refused"));
    }
    let waits = unseal(&world, &vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(waits.problem(), (429, "unseal_limited"));
    assert!((1..=60).contains(&waits.retry_after), "{waits:?}");
}

#[tokio::test]
async fn what_was_tried_while_it_was_sealed_is_in_the_audit_before_anything_else() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    let refused = share(&world, &vault, "keystead-share-of-mine").await;
    assert_eq!(refused.problem(), (403, "unseal_refused"));
    for typed in &shares[..3] {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let closed = command(&world, &vault, "operator", "/v1/seal", json!({})).await;
    assert_eq!(closed.status, 200);
    let sql = "SELECT caller, operation, outcome FROM audit_records WHERE operation <> 'begin'
               ORDER BY number";
    let rows = world
        .db()
        .await
        .query_typed(sql, &[])
        .await
        .expect("the audit");
    let told: Vec<_> = rows
        .iter()
        .map(|row| [row.get::<_, &str>(0), row.get(1), row.get(2)].join(" "))
        .collect();
    assert_eq!(
        told,
        [
            "operator unseal unseal_refused",
            "operator unseal share_taken",
            "operator unseal share_taken",
            "operator unseal ok",
            "operator seal ok"
        ]
    );
}

#[tokio::test]
async fn an_opening_that_cannot_be_recorded_opens_nothing() {
    let world = world_with_passphrase().await;
    let vault = world.start().await;
    ready(&vault, 503).await;
    let mut db = world.db().await;
    let transaction = db.transaction().await.expect("a transaction");
    let lock = "LOCK TABLE audit_chains IN ACCESS EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.expect("locked");
    let refused = unseal(&world, &vault, json!({ "passphrase": PHRASE })).await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    let status = world
        .caller(&vault, "operator")
        .get("/v1/seal-status")
        .await;
    assert_eq!(status.body["sealed"], json!(true));
    drop(transaction);
    opens_with_passphrase(&world, &vault).await;
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
    let closed = command(&world, &vault, "operator", "/v1/seal", json!({})).await;
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

#[tokio::test]
async fn the_audit_of_a_sealed_vault_is_verified_with_what_opens_it() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    for typed in &shares[..3] {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let verify = |input: String| {
        let mut child = Command::new(PROGRAM)
            .args(["audit", "verify"])
            .env_clear()
            .envs(&world.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    };
    let output = verify(shares[1..4].join("\n"));
    assert!(output.status.success(), "{output:?}");
    let output = verify(shares[1..3].join("\n"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn keys_in_the_open_beside_a_seal_are_refused_at_the_start() {
    let (world, _) = world_with_shares().await;
    let mut environment = world.environment.clone();
    environment.insert("MASTER_ENCRYPTION_KEY", MASTER_KEY.to_owned());
    let check = |environment: &std::collections::HashMap<&'static str, String>| {
        Command::new(PROGRAM)
            .arg("check-config")
            .env_clear()
            .envs(environment)
            .output()
            .expect("the program runs")
    };
    let output = check(&environment);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("SEALED_KEYRING_FILE is set beside"), "{told}");
    assert!(check(&world.environment).status.success());
    fs::write(keyring(&world), "hunter2").expect("written");
    let output = check(&world.environment);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("SEALED_KEYRING_FILE is not a sealed keyring"),
        "{told}"
    );
}

#[tokio::test]
async fn a_sealed_keyring_is_its_owners_alone_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let file = keyring(&world);
    split(&file, MASTER_KEY);
    let mode = fs::metadata(&file).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read_to_string(&file).expect("text");
    assert!(!before.contains(MASTER_KEY));
    let arguments = ["passphrase", "create", "--keyring", &file];
    let output = program(&arguments, MASTER_KEY, &format!("{PHRASE}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("text"), before);
    let other = world.folder().join("other").display().to_string();
    for (arguments, input) in [
        (vec!["passphrase", "create", "--keyring", &other], "short\n"),
        (
            vec![
                "shares",
                "create",
                "--keyring",
                &other,
                "--needed",
                "1",
                "--shares",
                "3",
            ],
            "",
        ),
    ] {
        let output = program(&arguments, MASTER_KEY, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(fs::metadata(&other).is_err(), "{arguments:?}");
    }
    let output = program(
        &[
            "shares",
            "create",
            "--keyring",
            &other,
            "--needed",
            "2",
            "--shares",
            "3",
        ],
        "hunter2",
        "",
    );
    assert_eq!(output.status.code(), Some(78));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}
