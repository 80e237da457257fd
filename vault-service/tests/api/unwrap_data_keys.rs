//! POST /v1/data-keys/unwrap.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    clock::Clock,
    vault_client::{KeyOf, VaultError, WrappedKey},
};
use stack::until;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    client::{decoded, item},
    world::{MASTER_KEY, Vault, World, somebody, vault},
};

#[tokio::test]
async fn a_batch_keeps_its_order_and_one_bad_item_fails_no_other() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (adas, adas_key) = identity.created(ada, "account").await;
    let (bobs, bobs_key) = identity.created(bob, "outbox").await;
    let text = |subject: &str, purpose: &str, wrapped: &str| json!({"subject": subject, "purpose": purpose, "wrapped_key": wrapped});
    let answer = identity
        .unwrap(&[
            item(bob, "outbox", &bobs),
            item(ada, "entries", &adas),
            item(ada, "account", &bobs),
            item(somebody(), "account", &adas),
            text("not an id", "account", "AAAA"),
            text(&ada.to_string(), "no purpose", "AAAA"),
            text(&ada.to_string(), "account", "not base64!"),
            text(&ada.to_string(), "account", ""),
            item(ada, "account", &adas),
            item(ada, "account", &adas),
        ])
        .await;
    assert_eq!(
        answer.statuses(),
        [
            "ok",
            "not_allowed",
            "wrapped_key_refused",
            "unknown_subject",
            "unknown_subject",
            "not_allowed",
            "wrapped_key_refused",
            "wrapped_key_refused",
            "ok",
            "ok",
        ]
    );
    let key = |at: usize| answer.items()[at].get("plaintext_key").map(decoded);
    assert_eq!(key(0), Some(bobs_key));
    assert_eq!((key(8), key(9)), (Some(adas_key.clone()), Some(adas_key)));
    assert!((1..8).all(|at| key(at).is_none()));
}

#[tokio::test]
async fn a_batch_holds_1_to_100_items() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let items = |count| vec![item(ada, "account", &wrapped); count];
    for wrong in [0, 101] {
        let answer = identity.unwrap(&items(wrong)).await;
        assert_eq!(answer.problem(), (400, "invalid_request"), "{wrong}");
        assert_eq!(answer.pointers(), ["#/items"]);
    }
    let answer = identity.unwrap(&items(100)).await;
    assert_eq!(answer.statuses(), ["ok"; 100]);
}

#[tokio::test]
async fn every_flipped_bit_of_a_wrapped_key_is_refused() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let flipped: Vec<_> = (0..wrapped.len() * 8)
        .map(|bit| {
            let mut changed = wrapped.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            item(ada, "account", &changed)
        })
        .collect();
    for batch in flipped.chunks(100) {
        let answer = identity.unwrap(batch).await;
        assert_eq!(answer.statuses(), vec!["wrapped_key_refused"; batch.len()]);
    }
}

#[tokio::test]
async fn a_cut_lengthened_or_padded_wrapped_key_is_refused() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let mut items: Vec<_> = [0, 1, 36, 68, 100, 115]
        .map(|length| item(ada, "account", &wrapped[..length]))
        .into();
    items.push(item(ada, "account", &[wrapped.as_slice(), &[0]].concat()));
    items.push(item(
        ada,
        "account",
        &[wrapped.as_slice(), &wrapped].concat(),
    ));
    let good = item(ada, "account", &wrapped);
    let encoded = good["wrapped_key"].as_str().expect("text");
    for spelling in [
        format!("{encoded}="),
        format!(" {encoded}"),
        encoded.replace(['-', '_'], "+"),
    ] {
        if spelling != encoded {
            items.push(json!({"subject": ada, "purpose": "account", "wrapped_key": spelling}));
        }
    }
    let count = items.len();
    let answer = identity.unwrap(&items).await;
    assert_eq!(answer.statuses(), vec!["wrapped_key_refused"; count]);
}

#[tokio::test]
async fn no_other_owner_person_or_purpose_opens_a_key() {
    let (world, vault) = vault().await;
    let (ada, bob) = (somebody(), somebody());
    let identity = world.caller(&vault, "identity");
    let (account, _) = identity.created(ada, "account").await;
    identity.created(bob, "account").await;
    let refused = ("wrapped_key_refused".to_owned(), None);
    assert_eq!(identity.unwrap_one(bob, "account", &account).await, refused);
    assert_eq!(identity.unwrap_one(ada, "outbox", &account).await, refused);
    // Another owner: the journal asks for identity's key under its own purpose, with the person present.
    let journal = world.journal_for(&vault, ada);
    assert_eq!(journal.unwrap_one(ada, "entries", &account).await, refused);
    let (entries, _) = journal.created(ada, "entries").await;
    assert_eq!(identity.unwrap_one(ada, "account", &entries).await, refused);
}

#[tokio::test]
async fn a_person_whose_slot_is_gone_is_unknown_for_good() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    let deleted = world
        .db()
        .await
        .execute_typed(
            "DELETE FROM subjects WHERE subject = $1",
            &[(&ada, Type::UUID)],
        )
        .await;
    assert_eq!(deleted.expect("deleted"), 1);
    let (status, _) = identity.unwrap_one(ada, "account", &wrapped).await;
    assert_eq!(status, "unknown_subject");
    // A new slot has a new salt: the old key stays closed.
    identity.created(ada, "account").await;
    let (status, _) = identity.unwrap_one(ada, "account", &wrapped).await;
    assert_eq!(status, "wrapped_key_refused");
}

#[tokio::test]
async fn a_slot_pasted_over_another_persons_does_not_open() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (adas, adas_key) = identity.created(ada, "account").await;
    let (bobs, _) = identity.created(bob, "account").await;
    let pasted = world
        .db()
        .await
        .execute_typed(
            "UPDATE subjects SET sealed_salt = (SELECT sealed_salt FROM subjects WHERE subject = $1)
             WHERE subject = $2",
            &[(&ada, Type::UUID), (&bob, Type::UUID)],
        )
        .await;
    assert_eq!(pasted.expect("pasted"), 1);
    let answer = identity
        .unwrap(&[
            item(bob, "account", &bobs),
            item(bob, "account", &adas),
            item(ada, "account", &adas),
        ])
        .await;
    assert_eq!(answer.statuses(), ["slot_damaged", "slot_damaged", "ok"]);
    assert_eq!(decoded(&answer.items()[2]["plaintext_key"]), adas_key);
    assert_eq!(
        identity.create(bob, "account").await.problem(),
        (409, "slot_damaged")
    );
}

#[tokio::test]
async fn an_item_of_the_wrong_shape_fails_the_request_and_is_named() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let items: [Value; 2] = [
        json!({"subject": somebody(), "purpose": "account"}),
        json!(7),
    ];
    let answer = identity.unwrap(&items).await;
    assert_eq!(answer.problem(), (400, "invalid_request"));
    assert_eq!(answer.pointers(), ["#/items/0/wrapped_key", "#/items/1"]);
}

/// The one word that the audit has for what was refused of somebody's keys.
async fn refused(world: &World, subject: Uuid) -> String {
    let sql = "SELECT DISTINCT outcome FROM audit_records WHERE subject = $1 AND outcome <> 'ok'";
    let db = world.db().await;
    let row = db.query_typed_one(sql, &[(&subject, Type::UUID)]).await;
    row.expect("it is on record").get(0)
}

/// What a service makes of the answer that wants one key.
async fn asked_for_one(
    world: &World,
    vault: &Vault,
    (subject, wrapped): (Uuid, &[u8]),
) -> Result<(), VaultError> {
    let key = KeyOf {
        subject,
        purpose: "account",
        generation: 1,
    };
    let (client, wrapped) = (
        world.vault_client(vault, "identity"),
        WrappedKey::from_bytes(wrapped.to_vec()),
    );
    let now = Clock::system().now();
    client.unwrap(key, &wrapped, None, now).await.map(drop)
}

#[tokio::test]
async fn a_replica_without_the_newest_master_key_calls_nothing_damaged() {
    let world = World::new().await;
    let newer = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";
    let behind = world.start().await;
    let there = world.caller(&behind, "identity");
    let (ada, bob) = (somebody(), somebody());
    let (old, key) = there.created(bob, "account").await;
    let world = world.with(
        "MASTER_ENCRYPTION_KEY",
        &format!("2:{newer},1:{MASTER_KEY}"),
    );
    let ahead = world.start().await;
    let here = world.caller(&ahead, "identity");
    here.created(ada, "account").await;
    // As if this replica had been thought gone, and woke up.
    let activated = "UPDATE master_keys SET activated_at = now() WHERE version = 2";
    let activated = world.db().await.batch_execute(activated).await;
    activated.expect("written");
    let wrapped = until("a newer key", Duration::from_secs(20), async || {
        let (wrapped, _) = here.created(ada, "account").await;
        (wrapped[4..8] == [0, 0, 0, 2])
            .then_some(wrapped.clone())
            .ok_or(wrapped[7])
    })
    .await
    .unwrap();
    let mine = item(ada, "account", &wrapped);
    // An owner that was told that it is damaged would replace it. Whether Bob's opens depends on whether his slot is sealed
    // under the newer one already; a person of whom there is nothing gets an answer of their own.
    let asked = [
        mine.clone(),
        item(bob, "account", &old),
        item(somebody(), "account", &old),
    ];
    for answer in [there.unwrap(&asked).await, there.rewrap(&asked).await] {
        let statuses = answer.statuses();
        assert_eq!(statuses[0], "master_key_missing");
        assert!(
            ["ok", "master_key_missing"].contains(&statuses[1]),
            "{statuses:?}"
        );
        assert_eq!(statuses[2], "unknown_subject");
    }
    assert_eq!(refused(&world, ada).await, "master_key_missing");
    let answer = there.create(ada, "outbox").await;
    assert_eq!(answer.problem(), (503, "unavailable"));
    let asked = asked_for_one(&world, &behind, (ada, &wrapped)).await;
    assert!(
        matches!(asked, Err(VaultError::Unavailable(_))),
        "{asked:?}"
    );
    let opened = here.unwrap_one(bob, "account", &old).await;
    assert_eq!(opened, ("ok".to_owned(), Some(key)));
    assert_eq!(here.unwrap(&[mine]).await.statuses(), ["ok"]);
    // A version that nobody has ever seen is no reason to wait, for a replica that has all there are.
    let mut made_up = wrapped;
    made_up[7] = 9;
    let refused = here.unwrap(&[item(ada, "account", &made_up)]).await;
    assert_eq!(refused.statuses(), ["wrapped_key_refused"]);
}
