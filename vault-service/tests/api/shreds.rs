//! DELETE /v1/subjects/{subject}, its way back, and its end.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::postgres::Connection;
use stack::until;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    client::{Shredder, decoded, item},
    world::{Vault, World, somebody, vault},
};

const LIMIT: Duration = Duration::from_secs(20);

/// A person with a key of each owner.
struct Person {
    id: Uuid,
    account: Vec<u8>,
    entries: Vec<u8>,
}

impl Person {
    async fn new(world: &World, vault: &Vault) -> Self {
        let id = somebody();
        let (account, _) = world.caller(vault, "identity").created(id, "account").await;
        let (entries, _) = world.journal_for(vault, id).created(id, "entries").await;
        Self {
            id,
            account,
            entries,
        }
    }

    /// What each owner gets for its key.
    async fn statuses(&self, world: &World, vault: &Vault) -> [String; 2] {
        let identity = world.caller(vault, "identity");
        let journal = world.journal_for(vault, self.id);
        let (account, _) = identity.unwrap_one(self.id, "account", &self.account).await;
        let (entries, _) = journal.unwrap_one(self.id, "entries", &self.entries).await;
        [account, entries]
    }
}

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a time"), &Rfc3339).expect("RFC 3339")
}

/// How long the shred can be taken back.
fn wait(shred: &Value) -> i64 {
    (at(&shred["purge_at"]) - at(&shred["requested_at"])).whole_seconds()
}

async fn backend(db: &Connection) -> i32 {
    let row = db.query_typed_one("SELECT pg_backend_pid()", &[]).await;
    row.expect("the connection's process").get(0)
}

#[tokio::test]
async fn from_that_moment_nothing_opens_for_any_owner_until_it_is_taken_back() {
    let (world, vault) = vault().await;
    let ada = Person::new(&world, &vault).await;
    let bob = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    let answer = identity.shred(ada.id, &json!({})).await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (202, &json!("pending"))
    );
    assert_eq!(wait(&answer.body), 7 * 24 * 60 * 60);
    assert!(answer.body.get("receipt").is_none());

    assert_eq!(ada.statuses(&world, &vault).await, ["shred_pending"; 2]);
    let answer = identity.client.create(ada.id, "account").await;
    assert_eq!(answer.problem(), (409, "shred_pending"));
    let answer = world
        .journal_for(&vault, ada.id)
        .create(ada.id, "entries")
        .await;
    assert_eq!(answer.problem(), (409, "shred_pending"));
    // Others are not concerned, in the same batch neither.
    assert_eq!(bob.statuses(&world, &vault).await, ["ok"; 2]);
    let batch = [
        item(bob.id, "account", &bob.account),
        item(ada.id, "account", &ada.account),
        item(somebody(), "account", &bob.account),
    ];
    let answer = identity.client.unwrap(&batch).await;
    assert_eq!(
        answer.statuses(),
        ["ok", "shred_pending", "unknown_subject"]
    );

    assert_eq!(identity.restore(ada.id).await.status, 204);
    assert_eq!(ada.statuses(&world, &vault).await, ["ok"; 2]);
    assert_eq!(identity.client.create(ada.id, "account").await.status, 200);
}

#[tokio::test]
async fn without_a_wait_the_salt_goes_at_once_and_for_good() {
    let (world, vault) = vault().await;
    let ada = Person::new(&world, &vault).await;
    let bob = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    let shred = identity.shredded(ada.id, 0).await;
    assert_eq!(shred["state"], "purged");

    assert_eq!(ada.statuses(&world, &vault).await, ["shredded"; 2]);
    let answer = identity.client.create(ada.id, "account").await;
    assert_eq!(answer.problem(), (410, "shredded"));
    assert_eq!(identity.restore(ada.id).await.problem(), (410, "shredded"));
    assert_eq!(ada.statuses(&world, &vault).await, ["shredded"; 2]);
    assert_eq!(bob.statuses(&world, &vault).await, ["ok"; 2]);
    assert_eq!(left_of(&world, ada.id).await, (0, 0));
    // Asked again, it is the same shred, with the same receipt.
    assert_eq!(identity.shredded(ada.id, 600).await, shred);
    assert_eq!(identity.read(&shred).await.body, shred);
}

/// Salts and data keys of a subject that are still in the database.
async fn left_of(world: &World, subject: Uuid) -> (i64, i64) {
    let row = world
        .db()
        .await
        .query_typed_one(
            "SELECT (SELECT count(*) FROM subjects WHERE subject = $1 AND sealed_salt IS NOT NULL),
                    (SELECT count(*) FROM data_keys WHERE subject = $1)",
            &[(&subject, Type::UUID)],
        )
        .await
        .expect("two numbers");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_receipt_is_verified_with_the_published_key_and_says_whom_and_when() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.shredder(&vault, "identity");
    let shred = identity.shredded(ada, 0).await;
    let receipt = shred["receipt"].as_str().expect("a receipt");
    let (signed, signature) = receipt.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let json = |part: &str| -> Value {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let (header, claims) = (json(header), json(claims));

    let published = world
        .caller(&vault, "journal")
        .get("/v1/receipt-keys")
        .await;
    let keys = published.body["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"]);
    let x = decoded(&key.expect("the key is published")["x"]);
    UnparsedPublicKey::new(&ED25519, x)
        .verify(signed.as_bytes(), &decoded(&json!(signature)))
        .expect("the receipt verifies");

    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "shred-receipt+jwt");
    assert_eq!(claims["sub"], ada.to_string());
    assert_eq!(claims["jti"], shred["shred_id"]);
    assert_eq!(claims["mek_version"], 1);
    assert_eq!(claims["iat"], at(&shred["purged_at"]).unix_timestamp());
    let requested = at(&shred["requested_at"]).unix_timestamp();
    assert_eq!(claims["requested_at"], requested);
}

#[tokio::test]
async fn there_is_one_shred_and_its_end_comes_sooner_and_never_later() {
    let (world, vault) = vault().await;
    let ada = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    let first = identity.shredded(ada.id, 3600).await;
    let later = identity.shredded(ada.id, 7200).await;
    assert_eq!(later, first);
    let sooner = identity.shredded(ada.id, 60).await;
    assert_eq!(sooner["shred_id"], first["shred_id"]);
    assert!((59..=62).contains(&wait(&sooner)), "{sooner}");
    assert_eq!(identity.shred(ada.id, &json!({})).await.body, sooner);
    let ended = identity.shredded(ada.id, 0).await;
    assert_eq!(
        (&ended["shred_id"], &ended["state"]),
        (&first["shred_id"], &json!("purged"))
    );
}

#[tokio::test]
async fn when_the_wait_is_over_one_replica_ends_it() {
    let (world, vault) = vault().await;
    let _replicas = [world.start().await, world.start().await];
    let ada = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    let shred = identity.shredded(ada.id, 1).await;
    assert_eq!(shred["state"], "pending");
    let ended = until("purged", LIMIT, async || {
        let answer = identity.read(&shred).await;
        match answer.body["state"].as_str() {
            Some("purged") => Ok(answer.body),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("the wait ends");
    assert!(at(&ended["purged_at"]) >= at(&ended["purge_at"]));
    assert_eq!(ada.statuses(&world, &vault).await, ["shredded"; 2]);
    assert_eq!(left_of(&world, ada.id).await, (0, 0));
    assert_eq!(identity.read(&shred).await.body, ended);
}

#[tokio::test]
async fn when_the_time_is_over_nothing_is_taken_back_even_before_the_salt_goes() {
    let (world, vault) = vault().await;
    let ada = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    identity.shredded(ada.id, 600).await;
    // Holds back whoever would end it.
    let mut db = world.db().await;
    let holder = backend(&db).await;
    let held = db.transaction().await.expect("a transaction");
    held.execute_typed(
        "UPDATE shreds SET purge_at = requested_at WHERE subject = $1",
        &[(&ada.id, Type::UUID)],
    )
    .await
    .expect("the row");
    let restoring = tokio::spawn(async move { identity.restore(ada.id).await });
    world.held_up_by(holder).await;
    held.commit().await.expect("the lock is given back");
    let answer = restoring.await.expect("no panic");
    assert_eq!(answer.problem(), (410, "shredded"));
}

#[tokio::test]
async fn a_moment_before_the_time_is_over_nothing_is_taken_back_any_more() {
    let (world, vault) = vault().await;
    let ada = Person::new(&world, &vault).await;
    let identity = world.shredder(&vault, "identity");
    identity.shredded(ada.id, 9).await;
    assert_eq!(identity.restore(ada.id).await.problem(), (410, "shredded"));
    assert_eq!(ada.statuses(&world, &vault).await, ["shred_pending"; 2]);
}

#[tokio::test]
async fn a_subject_that_nobody_knows_never_comes_to_be() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    let (waiting, gone) = (somebody(), somebody());
    identity.shredded(waiting, 600).await;
    identity.shredded(gone, 0).await;
    let create = async |subject| identity.client.create(subject, "account").await;
    assert_eq!(create(waiting).await.problem(), (409, "shred_pending"));
    assert_eq!(create(gone).await.problem(), (410, "shredded"));
    assert_eq!(identity.restore(waiting).await.status, 204);
    assert_eq!(create(waiting).await.status, 200);
    // Restoring whom nobody shreds changes nothing, and makes nobody.
    let stranger = somebody();
    assert_eq!(identity.restore(stranger).await.status, 204);
    assert_eq!(left_of(&world, stranger).await, (0, 0));
    let missing = identity.read(&json!({"shred_id": stranger})).await;
    assert_eq!(missing.problem(), (404, "not_found"));
}

#[tokio::test]
async fn no_key_that_is_made_meanwhile_survives() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    for _ in 0..10 {
        let ada = somebody();
        let mut racing = JoinSet::new();
        for racer in 0..8 {
            let identity = identity.clone();
            racing.spawn(async move { race(&identity, ada, racer == 3).await });
        }
        let made: Vec<_> = racing.join_all().await.into_iter().flatten().collect();
        for wrapped in made {
            let (status, key) = identity.client.unwrap_one(ada, "account", &wrapped).await;
            assert_eq!((status.as_str(), key), ("shredded", None));
        }
        assert_eq!(
            left_of(&world, ada).await,
            (0, 0),
            "a salt or a key came back"
        );
    }
}

#[tokio::test]
async fn a_key_that_is_being_made_waits_for_a_shred_and_is_not_noted_after_it() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    let ada = Person::new(&world, &vault).await;
    let mut db = world.db().await;
    let holder = backend(&db).await;
    let shredding = db.transaction().await.expect("a transaction");
    for sql in [
        "UPDATE subjects SET sealed_salt = NULL, mek_version = NULL WHERE subject = $1",
        "DELETE FROM data_keys WHERE subject = $1",
    ] {
        shredding
            .execute_typed(sql, &[(&ada.id, Type::UUID)])
            .await
            .expect("what a shred does");
    }
    // It has read the salt, which is still there for everybody else.
    let client = identity.clone();
    let making = tokio::spawn(async move { client.client.create(ada.id, "account").await });
    world.held_up_by(holder).await;
    shredding.commit().await.expect("committed");
    let answer = making.await.expect("no panic");
    assert_eq!(answer.problem(), (410, "shredded"));
    assert_eq!(left_of(&world, ada.id).await, (0, 0));
}

/// Shreds, or makes a key, if it still can.
async fn race(identity: &Shredder, subject: Uuid, shreds: bool) -> Option<Vec<u8>> {
    if shreds {
        identity.shredded(subject, 0).await;
        return None;
    }
    let answer = identity.client.create(subject, "account").await;
    if answer.status == 200 {
        return Some(decoded(&answer.body["wrapped_key"]));
    }
    let refused = [(409, "shred_pending"), (410, "shredded")];
    assert!(refused.contains(&answer.problem()), "{answer:?}");
    None
}

#[tokio::test]
async fn a_restore_and_the_end_never_both_happen() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    for _ in 0..10 {
        let ada = Person::new(&world, &vault).await;
        identity.shredded(ada.id, 600).await;
        let (restored, ended) =
            tokio::join!(identity.restore(ada.id), identity.shredded(ada.id, 0));
        assert_eq!(ended["state"], "purged");
        // Taken back in time or too late: either way whoever asked for the end got it.
        assert!([204, 410].contains(&restored.status), "{restored:?}");
        assert_eq!(ada.statuses(&world, &vault).await, ["shredded"; 2]);
        assert_eq!(left_of(&world, ada.id).await, (0, 0));
    }
}

#[tokio::test]
async fn a_wait_has_bounds() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    let ada = Person::new(&world, &vault).await;
    for wrong in [
        json!(-1),
        json!(7_776_001),
        json!("7d"),
        json!(1.5),
        json!(4_294_967_296_u64),
    ] {
        let answer = identity
            .shred(ada.id, &json!({ "wait_seconds": wrong }))
            .await;
        assert_eq!(answer.problem(), (400, "invalid_request"), "{wrong}");
        assert_eq!(answer.pointers(), ["#/wait_seconds"]);
    }
    let path = "/v1/subjects/ada";
    let token = identity.token("DELETE", path, &json!({}));
    let client = identity.client.clone().with_token(&token);
    let answer = client.delete(path, &json!({})).await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    assert_eq!(ada.statuses(&world, &vault).await, ["ok"; 2]);
    let longest = identity.shredded(ada.id, 7_776_000).await;
    assert_eq!(wait(&longest), 7_776_000);
}
