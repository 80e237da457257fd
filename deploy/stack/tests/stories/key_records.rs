//! A person sees who opened their keys, and who tried.

use reqwest::Method;
use serde_json::Value;
use shared::{clock::Clock, vault_client::KeyOf};
use stack::{Person, Service, Stack};

use crate::secrets::{vault_of, wrapped_key_of};

const ENTRIES: &str = "entries";

#[tokio::test]
async fn a_person_sees_who_opened_their_keys_and_a_stolen_journal_that_tried() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let bob = Person::new(stack.addresses(), "bob").await;
    let id = ada.write("mine", "and nobody else's").await;
    let made = of_the_journal(&records(&ada, "").await);
    assert_eq!(made, ["create ok"]);

    // A journal without the key in memory opens it for the one who reads.
    stack.start_service(Service::Journal).await.unwrap();
    assert_eq!(ada.read(&id).await.status, 200);
    assert_eq!(bob.read(&id).await.status, 404);
    // Whoever stole the journal's credentials has no token of the person, or somebody else's.
    let stolen = vault_of(&stack, Service::Journal);
    let of = KeyOf {
        subject: ada.id.parse().unwrap(),
        purpose: ENTRIES,
        generation: 1,
    };
    let wrapped = wrapped_key_of(&stack, &ada).await;
    let bobs = bob.access_token.clone().into();
    for proof in [None, Some(&bobs)] {
        let opened = stolen.unwrap(of, &wrapped, proof, Clock::system().now());
        assert!(opened.await.is_err());
    }

    let all = records(&ada, "").await;
    let expected = [
        "unwrap user_token_mismatch",
        "unwrap user_token_required",
        "unwrap ok",
        "create ok",
    ];
    assert_eq!(of_the_journal(&all), expected);
    let identitys = all.iter().filter(|it| text(it, "/service") == "identity");
    assert!(identitys.clone().count() > 0, "{all:?}");
    assert!(
        identitys
            .clone()
            .all(|it| text(it, "/purpose") == "account")
    );

    let newest = text(&all[0], "/at");
    let rest = records(&ada, &format!("?before={newest}")).await;
    assert_eq!(rest, all[1..]);
    // Moments that have no name in UTC.
    let early = records(&ada, "?before=0000-01-01T00:00:00%2B01:00").await;
    assert!(early.is_empty());
    let late = records(&ada, "?before=9999-12-31T23:59:59-01:00").await;
    assert_eq!(late, all);
    let wrong = ada.identity(Method::GET, "/key-records?before=x", None);
    assert_eq!(wrong.await.unwrap().status, 400);

    let of_bob = records(&bob, "").await;
    assert!(of_the_journal(&of_bob).is_empty(), "{of_bob:?}");
    stack.stop().await.unwrap();
}

async fn records(person: &Person, query: &str) -> Vec<Value> {
    let path = format!("/key-records{query}");
    let answer = person.identity(Method::GET, &path, None).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let records = answer.body.pointer("/records").and_then(Value::as_array);
    records.unwrap().clone()
}

fn of_the_journal(records: &[Value]) -> Vec<String> {
    let its = records
        .iter()
        .filter(|it| text(it, "/purpose") == ENTRIES && text(it, "/service") == "journal");
    its.map(|it| format!("{} {}", text(it, "/operation"), text(it, "/outcome")))
        .collect()
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
