//! What goes on, and what answers 503, while something that the journal needs is away.

use std::time::Duration;

use serde_json::json;
use stack::{Service, Stack, until};

use crate::{
    export::exported,
    import::imported,
    journal::{Answer, Journal, draft},
};

/// Longer than a loaded machine takes to start a server.
const PATIENCE: Duration = Duration::from_mins(1);
const NO_SUCH_ENTRY: &str = "0198c0de-0000-7000-8000-00000000dead";

async fn stack() -> Stack {
    Stack::for_a_test().start().await.expect("a stack starts")
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(
        answer.problem(),
        (503, "unavailable".to_owned()),
        "{}",
        answer.text
    );
    let wait = answer
        .header("retry-after")
        .and_then(|wait| wait.parse::<u32>().ok());
    assert!(
        wait.is_some_and(|wait| (1..=60).contains(&wait)),
        "{wait:?}"
    );
}

#[tokio::test]
async fn without_the_vault_opened_keys_keep_working_and_others_wait() {
    let mut stack = stack().await;
    let ada = Journal::of_a_new_person_in(stack.addresses()).await;
    let bob = Journal::of_a_new_person_in(stack.addresses()).await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    stack
        .stop_service(Service::Vault)
        .await
        .expect("the vault stops");

    assert_eq!(ada.read(&id).await.json()["title"], "before");
    ada.write(&draft("2026-11-24", "meanwhile")).await;
    assert_unavailable(&bob.create(&draft("2026-11-24", "first")).await);
    assert_eq!(
        bob.read(NO_SUCH_ENTRY).await.status,
        404,
        "no key is needed to say so"
    );

    // A journal that starts now has no key in memory, and nowhere else to find one.
    stack
        .start_service(Service::Journal)
        .await
        .expect("the journal starts without the vault");
    assert_unavailable(&ada.read(&id).await);
    assert_unavailable(&ada.list("").await);
    assert_unavailable(&ada.replace(&id, &draft("2026-11-24", "other"), None).await);

    stack
        .start_service(Service::Vault)
        .await
        .expect("the vault starts");
    let list = ada.list("").await;
    assert_eq!(
        list.json()["entries"].as_array().map(Vec::len),
        Some(2),
        "{}",
        list.text
    );
    bob.write(&draft("2026-11-24", "first")).await;
    stack.stop().await.expect("the stack stops");
}

#[tokio::test]
async fn without_the_vault_and_without_a_key_nothing_but_entries_is_shown_or_taken_in_part_either()
{
    let mut stack = stack().await;
    let ada = Journal::of_a_new_person_in(stack.addresses()).await;
    ada.write(&draft("2026-11-24", "before")).await;
    let pillar = ada.pillar("before").await;
    let (scores, one) = (
        format!("/pillars/{pillar}/scores"),
        format!("/pillars/{pillar}"),
    );
    let score = json!({"value": 3, "date": "2026-11-24"});
    let (morning, week) = ("/feels/2026-11-24/morning", "/weekly/2026-W48");
    let order = json!({"ids": [pillar]});
    assert_eq!(ada.post(&scores, &score).await.status, 201);
    for (path, body) in [
        (morning, json!({"mental_state": 3})),
        (week, json!({"note": "before"})),
        ("/pillars/order", order.clone()),
    ] {
        assert_eq!(ada.put(path, &body, None).await.status, 200, "{path}");
    }
    let before = exported(&ada, "ndjson").await.expect("all of it");
    let stopped = stack.stop_service(Service::Vault).await;
    stopped.expect("the vault stops");
    let started = stack.start_service(Service::Journal).await;
    started.expect("the journal starts without the vault");

    for path in [
        "/pillars",
        &one,
        &scores,
        morning,
        "/feels",
        week,
        "/changes",
        "/export",
        "/export?format=markdown",
    ] {
        assert_unavailable(&ada.get(path).await);
    }
    let name = json!({"name": "lost"});
    for answer in [
        ada.post("/pillars", &name).await,
        ada.put(&one, &name, None).await,
        ada.put("/pillars/order", &order, None).await,
        ada.post(&scores, &score).await,
        ada.put(morning, &json!({"mental_state": 9}), None).await,
        ada.put(week, &json!({"note": "lost"}), None).await,
        imported(&ada, "", before.clone()).await,
        imported(&ada, "?dry_run=true", before.clone()).await,
    ] {
        assert_unavailable(&answer);
    }

    let started = stack.start_service(Service::Vault).await;
    started.expect("the vault starts");
    let after = exported(&ada, "ndjson").await.expect("all of it");
    // But for the moment at which they were made.
    let records = |file: &[u8]| {
        let text = String::from_utf8_lossy(file);
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(records(&after), records(&before));
    stack.stop().await.expect("the stack stops");
}

#[tokio::test]
async fn a_token_that_only_the_vault_refuses_is_an_invalid_token() {
    let mut stack = stack().await;
    let ada = Journal::of_a_new_person_in(stack.addresses()).await;
    let bob = Journal::of_a_new_person_in(stack.addresses()).await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    // Without a key in memory, and with another mind than the vault about whose tokens are good.
    stack
        .start_service(Service::Journal)
        .await
        .expect("the journal starts");
    stack.set("AUDIENCE", "elsewhere");
    stack
        .start_service(Service::Vault)
        .await
        .expect("the vault starts");
    assert_eq!(bob.read(NO_SUCH_ENTRY).await.status, 404);

    for answer in [
        ada.read(&id).await,
        ada.list("").await,
        ada.create(&draft("2026-11-24", "second")).await,
        ada.replace(&id, &draft("2026-11-24", "other"), None).await,
        bob.create(&draft("2026-11-24", "first")).await,
    ] {
        let invalid = (401, "invalid_token".to_owned());
        assert_eq!(answer.problem(), invalid, "{}", answer.text);
        assert_eq!(
            answer.header("www-authenticate"),
            Some(r#"Bearer error="invalid_token""#)
        );
    }
    stack.stop().await.expect("the stack stops");
}

#[tokio::test]
async fn without_postgres_nothing_is_acknowledged_and_it_recovers_by_itself() {
    let mut stack = stack().await;
    let ada = Journal::of_a_new_person_in(stack.addresses()).await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    stack.stop_postgres().await.expect("postgres stops");

    assert_unavailable(&ada.create(&draft("2026-11-24", "lost")).await);
    assert_unavailable(&ada.read(&id).await);
    assert_unavailable(&ada.list("").await);
    assert_unavailable(&ada.replace(&id, &draft("2026-11-24", "lost"), None).await);
    assert_unavailable(&ada.delete(&id, None).await);

    stack.start_postgres().await.expect("postgres starts");
    let list = until("the journal recovers", PATIENCE, async || {
        let list = ada.list("").await;
        if list.status == 200 {
            Ok(list)
        } else {
            Err(list.text)
        }
    });
    let list = list.await.expect("it recovers").json();
    let titles: Vec<_> = list["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| &it["title"])
        .collect();
    assert_eq!(titles, ["before"]);
    stack.stop().await.expect("the stack stops");
}

#[tokio::test]
async fn without_identity_tokens_are_still_verified() {
    let mut stack = stack().await;
    let ada = Journal::of_a_new_person_in(stack.addresses()).await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    stack
        .stop_service(Service::Identity)
        .await
        .expect("identity stops");
    assert_eq!(ada.read(&id).await.status, 200);
    ada.write(&draft("2026-11-24", "meanwhile")).await;
    stack.stop().await.expect("the stack stops");
}
