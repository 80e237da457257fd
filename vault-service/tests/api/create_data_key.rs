//! POST /v1/data-keys.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use stack::until;
use tokio::task::JoinSet;
use tokio_postgres::{GenericClient, types::Type};

use crate::world::{somebody, vault};

/// Fewer than the vault has database connections.
const RACERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_created_key_is_116_bytes_and_opens_again_for_its_owner() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let journal = world.journal_for(&vault, ada);
    let (wrapped, key) = journal.created(ada, "entries").await;
    assert_eq!((wrapped.len(), key.len()), (116, 32));
    assert_eq!(
        journal.unwrap_one(ada, "entries", &wrapped).await,
        ("ok".to_owned(), Some(key))
    );
}

#[tokio::test]
async fn every_call_makes_another_key_and_notes_whose_it_is() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    let (first, first_key) = identity.created(ada, "account").await;
    let (second, second_key) = identity.created(ada, "account").await;
    assert_ne!(first_key, second_key);
    assert_ne!(first, second);
    let rows = world
        .db()
        .await
        .query_typed(
            "SELECT dek_id, owner, purpose, mek_version FROM data_keys WHERE subject = $1 ORDER BY dek_id",
            &[(&ada, Type::UUID)],
        )
        .await
        .expect("rows");
    assert_eq!(rows.len(), 2);
    for (row, wrapped) in rows.iter().zip([first, second]) {
        assert_eq!(
            row.get::<_, uuid::Uuid>("dek_id").as_bytes(),
            &wrapped[8..24]
        );
        assert_eq!(row.get::<_, &str>("owner"), "identity");
        assert_eq!(row.get::<_, &str>("purpose"), "account");
        assert_eq!(row.get::<_, i64>("mek_version"), 1);
    }
}

#[tokio::test]
async fn no_key_comes_in_the_clear_unless_it_is_asked_for() {
    let (world, vault) = vault().await;
    let body = json!({"subject": somebody(), "purpose": "outbox", "plaintext": false});
    let answer = world
        .caller(&vault, "identity")
        .post("/v1/data-keys", &body)
        .await;
    assert_eq!(answer.status, 200);
    let names: Vec<_> = answer.body.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["dek_id", "mek_version", "wrapped_key"]);
}

#[tokio::test]
async fn first_creations_that_all_find_no_slot_share_the_one_that_came_first() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    identity.created(somebody(), "account").await;
    // Holds back every insert and no read: all of them see that there is no slot, then insert at once.
    let mut db = world.db().await;
    let barrier = db.transaction().await.expect("a transaction");
    barrier
        .batch_execute("LOCK TABLE subjects IN SHARE ROW EXCLUSIVE MODE")
        .await
        .expect("the lock");
    let mut creations = JoinSet::new();
    for _ in 0..RACERS {
        let identity = identity.clone();
        creations.spawn(async move { identity.created(ada, "account").await });
    }
    until("all waiting", LIMIT, async || {
        inserts_held_back(&barrier).await
    })
    .await
    .expect("every creation reaches its insert");
    barrier.commit().await.expect("the lock is given back");

    let created = creations.join_all().await;
    let keys: HashSet<_> = created.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), RACERS);
    for (wrapped, key) in created {
        let opened = identity.unwrap_one(ada, "account", &wrapped).await;
        assert_eq!(opened, ("ok".to_owned(), Some(key)));
    }
}

/// `Ok` once every racer waits for the lock on `subjects`.
async fn inserts_held_back(db: &impl GenericClient) -> Result<(), String> {
    let row = db
        .query_typed_one(
            "SELECT count(*) FROM pg_locks
             WHERE relation = 'subjects'::regclass AND NOT granted",
            &[],
        )
        .await
        .expect("the locks");
    match usize::try_from(row.get::<_, i64>(0)) {
        Ok(RACERS) => Ok(()),
        waiting => Err(format!("{waiting:?} wait")),
    }
}

#[tokio::test]
async fn a_service_makes_keys_for_its_own_purposes_only() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.caller(&vault, "identity");
    let journal = world.journal_for(&vault, ada);
    for purpose in ["account", "outbox", "signing-key"] {
        assert_eq!(identity.create(ada, purpose).await.status, 200, "{purpose}");
        assert_eq!(
            journal.create(ada, purpose).await.problem(),
            (403, "not_allowed")
        );
    }
    assert_eq!(
        identity.create(ada, "entries").await.problem(),
        (403, "not_allowed")
    );
    // Not even with the person's own token.
    let identity = identity.with_user_token(&world.people.access_token(ada));
    assert_eq!(
        identity.create(ada, "entries").await.problem(),
        (403, "not_allowed")
    );
    assert_eq!(journal.create(ada, "entries").await.status, 200);
}

#[tokio::test]
async fn an_unknown_purpose_and_a_subject_that_is_no_id_are_named() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let answer = identity.create(somebody(), "everything").await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    assert_eq!(answer.pointers(), ["#/purpose"]);
    let body = json!({"subject": "ada", "purpose": "account", "plaintext": true});
    let answer = identity.post("/v1/data-keys", &body).await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    assert_eq!(answer.pointers(), ["#/subject"]);
}

#[tokio::test]
async fn the_body_cannot_name_an_owner() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let body = json!({"subject": ada, "purpose": "entries", "plaintext": true, "owner": "journal"});
    let answer = world
        .caller(&vault, "identity")
        .post("/v1/data-keys", &body)
        .await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    assert_eq!(answer.pointers(), ["#/owner"]);
}
