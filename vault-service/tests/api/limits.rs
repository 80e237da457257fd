//! A stolen service is slow and noticed.

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    clock::Clock,
    vault_client::{KeyOf, VaultError},
};
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client, item},
    world::{Vault, World, metrics, somebody},
};

fn limited(answer: &Answer) -> bool {
    answer.status == 429 && answer.problem().1 == "caller_limited"
}

async fn limits(settings: &[(&'static str, &str)]) -> (World, Vault) {
    let mut world = World::new().await;
    for (name, value) in settings {
        world = world.with(name, value);
    }
    let vault = world.start().await;
    (world, vault)
}

/// Keys of so many people, each made by its own request.
async fn people(identity: &Client, number: usize) -> Vec<Value> {
    let mut items = Vec::new();
    for _ in 0..number {
        let ada = somebody();
        let (wrapped, _) = identity.created(ada, "account").await;
        items.push(item(ada, "account", &wrapped));
    }
    items
}

#[tokio::test]
async fn a_hundred_requests_at_once_get_no_more_than_the_limit_and_others_are_not_touched() {
    let (world, vault) = limits(&[("LIMIT_PER_SECOND", "100"), ("LIMIT_PER_DAY", "130")]).await;
    let identity = world.caller(&vault, "identity");
    let items = people(&identity, 1).await;
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (identity, batch) = (identity.clone(), vec![items[0].clone(); 10]);
        asking.spawn(async move { identity.unwrap(&batch).await });
    }
    let answers = asking.join_all().await;
    let opened = answers.iter().filter(|answer| answer.status == 200).count();
    // One was for the key that was made.
    assert!(opened <= 12, "{opened} batches of ten");
    assert!(opened >= 5, "{opened} batches of ten");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(limited(answer), "{answer:?}");
        assert!(answer.retry_after >= 1);
    }
    let ada = somebody();
    let journal = world.journal_for(&vault, ada);
    assert_eq!(journal.create(ada, "entries").await.status, 200);
    let told = metrics().render();
    assert!(
        told.contains(r#"vault_caller_limited_total{caller="identity","#),
        "{told}"
    );
}

#[tokio::test]
async fn who_may_not_open_or_close_the_vault_is_counted() {
    let (world, vault) = limits(&[("LIMIT_PER_DAY", "100")]).await;
    let identity = world.caller(&vault, "identity");
    // Four are left.
    let unknown = vec![item(somebody(), "account", &[0; 116]); 96];
    assert_eq!(identity.unwrap(&unknown).await.status, 200);
    let paths = ["/v1/seal", "/v1/unseal"];
    for path in paths.repeat(2) {
        let refused = world.command(&vault, "identity", path, json!({})).await;
        assert_eq!(refused.problem(), (403, "not_allowed"));
    }
    for path in paths {
        let refused = world.command(&vault, "identity", path, json!({})).await;
        assert!(limited(&refused), "{refused:?}");
    }
    let closed = world
        .command(&vault, "operator", "/v1/seal", json!({}))
        .await;
    assert_eq!(closed.status, 200, "{closed:?}");
}

#[tokio::test]
async fn looking_at_the_audit_has_its_limit_and_takes_no_key_from_anybody() {
    let (world, vault) = limits(&[("LIMIT_PER_SECOND", "100")]).await;
    let identity = world.caller(&vault, "identity");
    let items = vec![people(&identity, 1).await[0].clone(); 40];
    let path = format!("/v1/audit?subject={}", somebody());
    for path in [&path, "/v1/audit/head"] {
        let mut looking = JoinSet::new();
        for _ in 0..300 {
            let (identity, path) = (identity.clone(), path.to_owned());
            looking.spawn(async move { identity.get(&path).await });
        }
        let answers = looking.join_all().await;
        assert!(answers.iter().any(limited), "{path}");
        assert_eq!(identity.unwrap(&items).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_keys_of_one_person_more_than_an_hour_may_have_stay_closed_also_after_a_restart() {
    let (world, vault) = limits(&[("LIMIT_PEOPLE_PER_HOUR", "100")]).await;
    let identity = world.caller(&vault, "identity");
    let known = people(&identity, 100).await;
    let stranger = identity.create(somebody(), "account").await;
    assert!(limited(&stranger), "{stranger:?}");
    assert!(stranger.retry_after > 3_000, "{stranger:?}");
    // Those who are known are opened as before, all of them at once.
    let opened = identity.unwrap(&known).await;
    assert!(opened.statuses().iter().all(|status| *status == "ok"));
    assert!(told_people().contains(" 100"), "{}", told_people());

    let again = world.start().await;
    let identity = world.caller(&again, "identity");
    let stranger = identity.create(somebody(), "account").await;
    assert!(limited(&stranger), "{stranger:?}");
    assert_eq!(identity.unwrap(&known).await.status, 200);
    // Made-up subjects count, too: trying ids is no way to find people.
    let made_up = item(somebody(), "account", &[0; 116]);
    assert!(limited(&identity.unwrap(&[made_up]).await));
    // What the policy refuses was asked for by nobody who could get it.
    let refused = world.caller(&again, "journal");
    for _ in 0..200 {
        assert_eq!(refused.create(somebody(), "entries").await.status, 403);
    }
}

#[tokio::test]
async fn what_is_refused_is_not_free() {
    let (world, vault) = limits(&[("LIMIT_PER_DAY", "100")]).await;
    let journal = world.caller(&vault, "journal");
    let mut asking = JoinSet::new();
    for _ in 0..300 {
        let journal = journal.clone();
        asking.spawn(async move { journal.create(somebody(), "entries").await });
    }
    let answers = asking.join_all().await;
    let refused = answers.iter().filter(|answer| answer.status == 403);
    assert_eq!(refused.count(), 100);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 403 || limited(answer))
    );
}

#[tokio::test]
async fn whoever_waits_for_a_service_that_is_limited_is_told_how_long() {
    let (world, vault) = limits(&[("LIMIT_PEOPLE_PER_HOUR", "100")]).await;
    people(&world.caller(&vault, "identity"), 100).await;
    let client = world.vault_client(&vault, "identity");
    let key = KeyOf {
        subject: somebody(),
        purpose: "account",
        generation: 1,
    };
    let refused = client.create(key, None, Clock::system().now()).await;
    let Err(VaultError::Unavailable(refused)) = refused else {
        panic!("the hundred and first person");
    };
    // Not the seconds after which one tries again when the vault is away.
    let wait = refused.retry_after().expect("a time");
    assert!(wait > Duration::from_mins(50), "{wait:?}");
}

fn told_people() -> String {
    let told = metrics().render();
    let mut lines = told.lines();
    let line = lines.find(|line| line.starts_with(r#"vault_people_in_an_hour{caller="identity""#));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_second_later_there_is_room_again() {
    let (world, vault) = limits(&[("LIMIT_PER_SECOND", "100")]).await;
    let identity = world.caller(&vault, "identity");
    let items = people(&identity, 1).await;
    let batch = vec![items[0].clone(); 100];
    let begun = std::time::Instant::now();
    let mut opened = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        let answer = identity.unwrap(&batch).await;
        opened += usize::from(answer.status == 200);
        assert!(answer.status == 200 || limited(&answer), "{answer:?}");
    }
    assert!((2..=5).contains(&opened), "{opened}");
}
