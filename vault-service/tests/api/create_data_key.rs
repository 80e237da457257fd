//! POST /v1/data-keys.

use std::collections::HashSet;

use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;

use crate::world::{somebody, vault};

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
async fn many_first_creations_at_once_share_one_slot() {
    let (world, vault) = vault().await;
    let ada = somebody();
    // Two callers, so that neither a connection nor a token puts the requests in a row.
    let callers = [
        world.caller(&vault, "identity"),
        world.caller(&vault, "identity"),
    ];
    let mut creations = JoinSet::new();
    for number in 0..24 {
        let caller = callers[number % 2].clone();
        creations.spawn(async move { caller.created(ada, "account").await });
    }
    let created = creations.join_all().await;
    let slots = world
        .db()
        .await
        .query_typed(
            "SELECT FROM subjects WHERE subject = $1",
            &[(&ada, Type::UUID)],
        )
        .await
        .expect("rows");
    assert_eq!(slots.len(), 1);
    assert_eq!(
        created
            .iter()
            .map(|(_, key)| key)
            .collect::<HashSet<_>>()
            .len(),
        24
    );
    for (wrapped, key) in created {
        let opened = callers[0].unwrap_one(ada, "account", &wrapped).await;
        assert_eq!(opened, ("ok".to_owned(), Some(key)));
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
