//! Keys that are wrapped anew: whose, for whom, and how many.

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{Answer, decoded, item},
    rotation::{add_version_2, world, wraps},
    world::somebody,
};

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
