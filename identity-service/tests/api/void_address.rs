//! What makes a change of address void, and what a change of address makes void.

use reqwest::Method;
use serde_json::json;
use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    change_email::invalid,
    device::{Person, befall, unauthorized},
    gate::FATES,
    outbox::{hold, release},
    replica::Region,
    service::Service,
};

#[tokio::test]
async fn whatever_raises_the_epoch_or_closes_the_account_makes_a_change_void() {
    let identity = Service::of_the_test_run();
    for fate in FATES {
        let (_, tokens) = identity.newcomer().await;
        let change = identity.mailed_address(&tokens, &somebody()).await;
        befall(&identity, &tokens, fate).await;
        assert_eq!(
            identity.confirm_address(&change).await.problem(),
            invalid(),
            "{fate}"
        );
    }
    let (ada, tokens) = identity.newcomer().await;
    let change = identity.mailed_address(&tokens, &somebody()).await;
    let reset = identity.mailed_reset(&ada.email).await;
    assert_eq!(identity.reset(&reset, OTHER_PASSWORD).await.status, 200);
    assert_eq!(identity.confirm_address(&change).await.problem(), invalid());

    let (_, tokens) = identity.newcomer().await;
    let first = identity.mailed_address(&tokens, &somebody()).await;
    let second = identity.mailed_address(&tokens, &somebody()).await;
    assert_eq!(identity.confirm_address(&second).await.status, 200);
    assert_eq!(identity.confirm_address(&first).await.problem(), invalid());
}

#[tokio::test]
async fn a_confirmation_that_meets_whoever_closes_the_account_waits_and_changes_nothing() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for fate in FATES {
        let (_, tokens) = identity.newcomer().await;
        let new = somebody();
        let change = identity.mailed_address(&tokens, &new).await;
        let service = identity.clone();
        let confirm = async move { service.confirm_address(&change).await };
        let answer = region.meanwhile(fate, &tokens, confirm).await;
        assert_eq!(answer.problem(), invalid(), "{fate}");
        assert!(!identity.logs_in(&new, PASSWORD).await, "{fate}");
    }
}

#[tokio::test]
async fn a_wish_that_the_worker_reads_after_everything_was_ended_is_mailed_to_nobody() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let mut wishes = Vec::new();
    for fate in FATES {
        let (_, tokens) = identity.newcomer().await;
        wishes.push((fate, tokens, somebody()));
    }
    let ((_, everywhere), email) = (identity.newcomer().await, somebody());
    hold(identity).await;
    for (fate, tokens, new) in &wishes {
        let wanted = identity.want_address(tokens, PASSWORD, new).await;
        assert_eq!(wanted.status, 202, "{}", wanted.text);
        befall(identity, tokens, fate).await;
    }
    let wanted = identity.want_address(&everywhere, PASSWORD, &email).await;
    assert_eq!(wanted.status, 202, "{}", wanted.text);
    let left = identity
        .as_person(Method::POST, "logout-all", &everywhere)
        .await;
    assert_eq!(left.status, 204);
    release(identity, "SELECT 1").await;
    identity.outbox_empties().await;
    for (fate, _, new) in &wishes {
        assert!(identity.mails(new).is_empty(), "{fate}");
    }
    assert!(identity.mails(&email).is_empty());
    assert_eq!(identity.count("address_changes").await, 0);
}

#[tokio::test]
async fn a_change_is_good_for_thirty_minutes_and_forgotten_then() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, tokens) = identity.newcomer().await;
    let change = identity.mailed_address(&tokens, &somebody()).await;
    // Within the time that the vault believes.
    let aged = "UPDATE address_changes SET expires_at = expires_at - interval '29 min 30 s'";
    let db = identity.database().await;
    assert_eq!(db.execute(aged, &[]).await.expect("one row"), 1);
    region.clock.advance(Duration::seconds(31));
    assert_eq!(identity.confirm_address(&change).await.problem(), invalid());
    assert_eq!(identity.address_of(&tokens).await, ada.email);
}

#[tokio::test]
async fn what_was_mailed_to_the_old_address_or_begun_with_it_is_void() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (bob, tokens) = identity.newcomer().await;
    let reset = identity.mailed_reset(&bob.email).await;
    let change = identity.mailed_address(&tokens, &somebody()).await;
    let (ada, hers) = identity.newcomer().await;
    let new = somebody();
    let next = identity.mailed_address(&hers, &new).await;
    let (authenticator, _) = region.protect(identity, &ada, &hers).await;
    let challenge = identity.challenge(&ada).await;

    assert_eq!(identity.confirm_address(&change).await.status, 200);
    let answer = identity.reset(&reset, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), (400, "invalid_reset_token".to_owned()));

    assert_eq!(identity.confirm_address(&next).await.status, 200);
    let code = region.code(&authenticator);
    let answer = identity.verify_code(&challenge, &code).await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_token"));
    // The second factor goes along.
    let moved = Person { email: new, ..ada };
    let challenge = identity.challenge(&moved).await;
    assert_eq!(identity.verify_code(&challenge, &code).await.status, 200);
}

#[tokio::test]
async fn nothing_that_runs_at_the_same_time_writes_the_old_address_back() {
    let mut region = Region::new().await;
    let cheap = region.start().await;
    let mut people = Vec::new();
    for _ in 0..4 {
        let person = cheap.service.person().await;
        let tokens = cheap.service.logged_in(&person).await;
        people.push((person, tokens));
    }
    // Every login hashes anew, and writes the index of the address with it.
    region.set("BCRYPT_COST", "5");
    let running = region.start().await;
    let identity = &running.service;
    for (person, tokens) in people {
        let new = somebody();
        let change = identity.mailed_address(&tokens, &new).await;
        let mut work = JoinSet::new();
        for _ in 0..3 {
            let (service, person) = (identity.clone(), person.clone());
            work.spawn(async move { service.login(&person.email, &person.password).await.status });
        }
        let (service, session) = (identity.clone(), tokens.clone());
        work.spawn(async move {
            let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
            let changed = service.authorised(Method::POST, "password", &session, &body);
            changed.await.status
        });
        let (service, change) = (identity.clone(), change.clone());
        work.spawn(async move { service.confirm_address(&change).await.status });
        for status in work.join_all().await {
            assert!(
                matches!(status, 200 | 204 | 400 | 401 | 403 | 429),
                "{status}"
            );
        }
        let address = identity.address_of(&tokens).await;
        let (is, was) = if address == new {
            (&new, &person.email)
        } else {
            (&person.email, &new)
        };
        let with = async |email: &str| {
            identity.logs_in(email, PASSWORD).await || identity.logs_in(email, OTHER_PASSWORD).await
        };
        assert!(with(is).await, "{address}");
        assert!(!with(was).await, "{address}");
    }
}
