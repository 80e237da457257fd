//! The keys that access tokens are verified with: published, shared by replicas, rotated.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use stack::until;

use crate::{
    device::{header, unauthorized},
    replica::Region,
    service::{PATIENCE, Service, sent},
    vault_away::Line,
};

async fn published(identity: &Service) -> BTreeSet<String> {
    let answer = identity.jwks().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    let keys = answer.json()["keys"].as_array().cloned();
    let kid = |key: &Value| key["kid"].as_str().expect("a kid").to_owned();
    keys.expect("a set").iter().map(kid).collect()
}

fn kid(access_token: &str) -> String {
    header(access_token)["kid"]
        .as_str()
        .expect("a kid")
        .to_owned()
}

#[tokio::test]
async fn only_public_halves_are_published_and_the_one_that_signs_is_among_them() {
    let identity = Service::of_the_test_run();
    let tokens = identity.logged_in(&identity.person().await).await;
    let set = identity.jwks().await.json();
    let keys = set["keys"].as_array().expect("a set");
    for key in keys {
        let members: Vec<_> = key.as_object().expect("a key").keys().collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
            (
                &"OKP".into(),
                &"Ed25519".into(),
                &"EdDSA".into(),
                &"sig".into()
            )
        );
    }
    assert!(published(&identity).await.contains(&kid(&tokens.access)));
}

#[tokio::test]
async fn replicas_that_start_at_once_agree_on_one_key_that_signs_and_one_that_waits() {
    let region = Region::new().await;
    let (one, other) = tokio::join!(region.start(), region.start());
    let ada = one.service.person().await;
    let (of_one, of_other) = (
        one.service.logged_in(&ada).await,
        other.service.logged_in(&ada).await,
    );
    assert_eq!(kid(&of_one.access), kid(&of_other.access));
    assert_eq!(
        published(&one.service).await,
        published(&other.service).await
    );
    assert_eq!(published(&one.service).await.len(), 2);
    // Each takes what the other gave.
    assert_eq!(other.service.me(&of_one.access).await.status, 200);
    assert_eq!(one.service.refresh(&of_other.refresh).await.status, 200);
}

#[tokio::test]
async fn a_key_signs_after_it_was_published_and_stays_until_its_last_token_is_over() {
    let region = Region::new().await;
    let first = region.start().await;
    let identity = &first.service;
    let tokens = identity.logged_in(&identity.person().await).await;
    let (old, before) = (kid(&tokens.access), published(identity).await);

    // A key that has signed for thirty days is due at the next look, which a start is.
    let sql = "UPDATE signing_keys SET activated_at = activated_at - interval '30 days' WHERE state = 'active'";
    let changed = identity.database().await.execute(sql, &[]).await;
    assert_eq!(changed.expect("an update"), 1);
    let second = region.start().await;
    let identity = &second.service;
    let after = published(identity).await;
    let renewed = identity.refresh(&tokens.refresh).await.tokens();
    assert_ne!(kid(&renewed.access), old);
    assert!(
        before.contains(&kid(&renewed.access)),
        "unknown to verifiers"
    );
    assert!(after.is_superset(&before));
    assert_eq!(after.len(), 3);
    assert_eq!(identity.me(&tokens.access).await.status, 200);

    // An hour and more after it retired no token of it is left.
    let sql = "UPDATE signing_keys SET retired_at = retired_at - interval '61 minutes' WHERE state = 'retired'";
    let changed = identity.database().await.execute(sql, &[]).await;
    assert_eq!(changed.expect("an update"), 1);
    let third = region.start().await;
    let last = published(&third.service).await;
    assert!(!last.contains(&old));
    assert_eq!(last.len(), 2);
}

/// Flips a bit of the text of keys in that state.
fn flip(state: &str) -> String {
    format!(
        "UPDATE signing_keys SET sealed_seed = set_byte(sealed_seed, 60, get_byte(sealed_seed, 60) # 1)
          WHERE state = '{state}'"
    )
}

#[tokio::test]
async fn a_waiting_key_that_does_not_open_is_replaced_and_the_active_one_signs_on() {
    let region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let tokens = first.service.logged_in(&ada).await;
    let before = published(&first.service).await;
    let db = first.service.database().await;
    db.batch_execute(&flip("next")).await.expect("an update");
    drop(first);

    let second = region.start().await;
    let identity = &second.service;
    let after = published(identity).await;
    let active = kid(&tokens.access);
    assert_eq!(kid(&identity.logged_in(&ada).await.access), active);
    assert_eq!(identity.me(&tokens.access).await.status, 200);
    // One waits again, and it is not the one that does not open.
    assert_eq!(after.len(), 2);
    assert_eq!(before.intersection(&after).collect::<Vec<_>>(), [&active]);
}

#[tokio::test]
async fn an_active_key_that_does_not_open_gives_its_place_to_the_one_that_waits() {
    let region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let lost = kid(&first.service.logged_in(&ada).await.access);
    let before = published(&first.service).await;
    let db = first.service.database().await;
    db.batch_execute(&flip("active")).await.expect("an update");
    drop(first);

    let second = region.start().await;
    let identity = &second.service;
    let signs = kid(&identity.logged_in(&ada).await.access);
    assert_ne!(signs, lost);
    // Verifiers know it from before.
    assert!(before.contains(&signs));
    let after = published(identity).await;
    assert!(after.len() == 2 && !after.contains(&lost));
}

#[tokio::test]
async fn keys_in_each_others_place_are_both_replaced() {
    let region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let before = published(&first.service).await;
    let swap =
        "UPDATE signing_keys SET sealed_seed = other.sealed_seed, wrapped_key = other.wrapped_key
                  FROM signing_keys AS other WHERE signing_keys.state <> other.state";
    let db = first.service.database().await;
    assert_eq!(db.execute(swap, &[]).await.expect("an update"), 2);
    drop(first);

    let second = region.start().await;
    let after = published(&second.service).await;
    assert_eq!(after.len(), 2);
    assert!(before.is_disjoint(&after));
    let tokens = second.service.logged_in(&ada).await;
    assert_eq!(second.service.me(&tokens.access).await.status, 200);
}

#[tokio::test]
async fn a_key_under_a_name_that_is_not_its_own_is_replaced() {
    let region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let renamed = kid(&first.service.logged_in(&ada).await.access);
    let rename = "UPDATE signing_keys SET kid = 'another' WHERE state = 'active'";
    let db = first.service.database().await;
    assert_eq!(db.execute(rename, &[]).await.expect("an update"), 1);
    drop(first);

    let second = region.start().await;
    let signs = kid(&second.service.logged_in(&ada).await.access);
    let after = published(&second.service).await;
    assert!(after.contains(&signs));
    assert!(!after.contains(&renamed) && !after.contains("another"));
}

#[tokio::test]
async fn a_key_that_is_withdrawn_stops_counting_though_the_vault_is_away() {
    let line = Line::to_the_vault().await;
    let region = Region::with(&[("VAULT_URL", &line.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    let leaked = kid(&tokens.access);
    line.cut();
    let withdraw = "DELETE FROM signing_keys WHERE kid = $1";
    let withdrawn = identity
        .database()
        .await
        .execute(withdraw, &[&leaked])
        .await;
    assert_eq!(withdrawn.ok(), Some(1));
    let refused = async || match identity.me(&tokens.access).await.status {
        401 => Ok(()),
        status => Err(status),
    };
    let refused = until("another look at the keys", PATIENCE, refused).await;
    refused.expect("it follows the table");
    let answer = identity.me(&tokens.access).await;
    assert_eq!(answer.problem(), unauthorized("invalid_token"));
    assert!(!identity.jwks().await.text.contains(&leaked));

    line.mend();
    let signs = async || match identity.login(&ada.email, &ada.password).await.status {
        200 => Ok(()),
        status => Err(status),
    };
    let signs = until("another key that signs", PATIENCE, signs).await;
    signs.expect("it is made when the vault is back");
    assert_eq!(identity.me(&tokens.access).await.status, 401);
}

#[tokio::test]
async fn the_set_is_fetched_again_only_when_it_changed() {
    let region = Region::new().await;
    let (one, other) = tokio::join!(region.start(), region.start());
    let ask = async |service: &Service, known: &str| {
        let request = service.request(Method::GET, "/.well-known/jwks.json");
        sent(request.header("if-none-match", known)).await
    };
    let first = one.service.jwks().await;
    let tag = first.header("etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
    for service in [&one.service, &other.service] {
        let again = ask(service, &tag).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""));
        assert_eq!(again.header("etag"), Some(tag.as_str()));
        assert_eq!(again.header("cache-control"), Some("public, max-age=60"));
        let other = ask(service, "\"another\"").await;
        assert_eq!((other.status, &other.text), (200, &first.text));
    }
    // Another set has another tag.
    let sql = "DELETE FROM signing_keys WHERE state = 'next'";
    let changed = one.service.database().await.execute(sql, &[]).await;
    assert_eq!(changed.expect("a delete"), 1);
    let changed = async || match ask(&one.service, &tag).await.status {
        200 => Ok(()),
        status => Err(status),
    };
    until("another set", PATIENCE, changed)
        .await
        .expect("it is looked for");
}
