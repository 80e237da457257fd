//! The keys that sign access tokens change while everybody goes on.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use stack::{Answer, Failure, Person, Service, Stack, forgery, until};

/// What running replicas may take to follow the database, on a loaded machine.
const FOLLOWED: Duration = Duration::from_secs(15);
const NO_SUCH_ENTRY: &str = "0198c0de-0000-7000-8000-00000000dead";

/// The kids with their states, as an operator sees them.
async fn keys(stack: &Stack, arguments: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let arguments = [&["keys"], arguments].concat();
    let table = stack.run(Service::Identity, &arguments).await?;
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    Ok(table.lines().skip(1).filter_map(words).collect())
}

fn states(keys: &[(String, String)]) -> Vec<&str> {
    let mut states: Vec<_> = keys.iter().map(|(_, state)| state.as_str()).collect();
    states.sort_unstable();
    states
}

fn in_state(keys: &[(String, String)], wanted: &str) -> String {
    let found = keys.iter().find(|(_, state)| state == wanted);
    found.expect("a key in that state").0.clone()
}

fn kid(token: &str) -> String {
    let header = forgery::header(token);
    let kid = header.get("kid").and_then(Value::as_str);
    kid.unwrap_or_default().to_owned()
}

/// The kids that are published.
async fn published(stack: &Stack) -> Vec<String> {
    let url = format!("{}/.well-known/jwks.json", stack.addresses().api.identity);
    let client = Client::builder().no_proxy().build().unwrap();
    let set: Value = client.get(url).send().await.unwrap().json().await.unwrap();
    let keys = set.get("keys").and_then(Value::as_array);
    let kid = |key: &Value| Some(key.get("kid")?.as_str()?.to_owned());
    let mut kids: Vec<_> = keys.into_iter().flatten().filter_map(kid).collect();
    kids.sort();
    kids
}

async fn is_published(stack: &Stack, keys: &[(String, String)]) {
    let mut wanted: Vec<_> = keys.iter().map(|(kid, _)| kid.clone()).collect();
    wanted.sort();
    until("the set published", FOLLOWED, async || {
        let now = published(stack).await;
        if now == wanted {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await
    .unwrap();
}

/// What the journal answers to a token of this person.
async fn at_journal(person: &Person) -> Answer {
    person.journal(Method::GET, "/entries", None).await.unwrap()
}

async fn at_identity(person: &Person) -> u16 {
    person
        .identity(Method::GET, "/verify", None)
        .await
        .unwrap()
        .status
}

/// A login whose token is of that key: the running service has followed.
async fn logged_in_with(person: &mut Person, wanted: &str) {
    until("a token of the wanted key", FOLLOWED, async || {
        person.log_in().await.unwrap();
        let signer = kid(&person.access_token);
        (signer == wanted).then_some(()).ok_or(signer)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn after_a_rotation_old_tokens_last_and_new_ones_count_at_once() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let mut ada = Person::new(stack.addresses(), "ada").await;
    let before = keys(&stack, &["list"]).await.unwrap();
    assert_eq!(states(&before), ["active", "next"]);
    assert_eq!(in_state(&before, "active"), kid(&ada.access_token));
    assert_eq!(at_journal(&ada).await.status, 200);

    let after = keys(&stack, &["rotate"]).await.unwrap();
    assert_eq!(states(&after), ["active", "next", "retired"]);
    assert_eq!(in_state(&after, "retired"), in_state(&before, "active"));
    // It was published while it was next, so no verifier meets it unprepared.
    assert_eq!(in_state(&after, "active"), in_state(&before, "next"));
    is_published(&stack, &after).await;

    let old = ada.access_token.clone();
    logged_in_with(&mut ada, &in_state(&after, "active")).await;
    assert_eq!(
        (at_journal(&ada).await.status, at_identity(&ada).await),
        (200, 200)
    );
    let new = std::mem::replace(&mut ada.access_token, old);
    assert_eq!(
        (at_journal(&ada).await.status, at_identity(&ada).await),
        (200, 200)
    );

    // An hour later, when every token of the old key is over.
    let database = database(&stack).await;
    let sql = "UPDATE signing_keys SET retired_at = retired_at - interval '1 hour' WHERE state = 'retired'";
    assert_eq!(database.execute(sql, &[]).await.unwrap(), 1);
    let remaining: Vec<_> = after
        .iter()
        .filter(|(_, state)| state != "retired")
        .cloned()
        .collect();
    is_published(&stack, &remaining).await;
    assert_eq!(at_identity(&ada).await, 401);
    ada.access_token = new;
    assert_eq!(
        (at_journal(&ada).await.status, at_identity(&ada).await),
        (200, 200)
    );
}

#[tokio::test]
async fn a_leaked_key_is_withdrawn_within_a_minute_everywhere() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let mut ada = Person::new(stack.addresses(), "ada").await;
    let id = ada.write("before", "the key leaked").await;
    // A journal that opened no entry yet, but knows the key.
    stack.start_service(Service::Journal).await.unwrap();
    assert_eq!(ada.read(NO_SUCH_ENTRY).await.status, 404);
    let leaked = kid(&ada.access_token);

    let unknown = keys(&stack, &["rotate", "--revoke", "made-up"]).await;
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("no signing key has this kid")
    );
    let both = keys(&stack, &["rotate", "--now", "--revoke", &leaked]).await;
    assert!(
        both.unwrap_err()
            .to_string()
            .contains("cannot be used with")
    );
    assert_eq!(at_identity(&ada).await, 200);

    let began = Instant::now();
    let after = keys(&stack, &["rotate", "--revoke", &leaked])
        .await
        .unwrap();
    assert_eq!(states(&after), ["active", "next"]);
    assert!(after.iter().all(|(kid, _)| *kid != leaked));
    is_published(&stack, &after).await;
    let told = ada.identity(Method::GET, "/me", None).await.unwrap();
    assert_eq!((told.status, told.text("/code")), (401, "invalid_token"));
    // The vault hears of it before the journal does.
    stack.start_service(Service::Vault).await.unwrap();
    let told = ada.read(&id).await;
    assert_eq!((told.status, told.text("/code")), (401, "invalid_token"));
    // The journal keeps the set for as long as it was told it may.
    until("the journal refuses", Duration::from_secs(90), async || {
        let answer = ada.read(NO_SUCH_ENTRY).await;
        if answer.text("/code") == "invalid_token" {
            Ok(())
        } else {
            Err(answer.status)
        }
    })
    .await
    .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(75),
        "{:?}",
        began.elapsed()
    );

    // The person goes on: their refresh token is of another kind.
    let body = json!({ "refresh_token": ada.refresh_token });
    let renewed = ada
        .identity(Method::POST, "/refresh", Some(body))
        .await
        .unwrap();
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    renewed
        .text("/access_token")
        .clone_into(&mut ada.access_token);
    assert_eq!(kid(&ada.access_token), in_state(&after, "active"));
    assert_eq!(ada.read(&id).await.text("/title"), "before");
}

#[tokio::test]
async fn after_a_break_in_every_key_is_replaced_by_one_that_nobody_has_seen() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let mut ada = Person::new(stack.addresses(), "ada").await;
    assert_eq!(at_journal(&ada).await.status, 200);
    let before = keys(&stack, &["rotate"]).await.unwrap();
    assert_eq!(before.len(), 3);

    let after = keys(&stack, &["rotate", "--now"]).await.unwrap();
    assert_eq!(states(&after), ["active", "next"]);
    for (kid, _) in &before {
        assert!(after.iter().all(|(new, _)| new != kid));
    }
    is_published(&stack, &after).await;
    assert_eq!(at_identity(&ada).await, 401);
    let old = ada.access_token.clone();
    logged_in_with(&mut ada, &in_state(&after, "active")).await;
    // A verifier that meets an unknown kid asks again, at most every ten seconds.
    until("the journal knows the new key", FOLLOWED, async || {
        let status = at_journal(&ada).await.status;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await
    .unwrap();
    ada.access_token = old;
    assert_eq!(at_journal(&ada).await.status, 401);
}

#[tokio::test]
async fn without_the_vault_nothing_is_changed() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let before = keys(&stack, &["list"]).await.unwrap();
    stack.stop_service(Service::Vault).await.unwrap();
    for arguments in [&["rotate"][..], &["rotate", "--now"]] {
        let failure = keys(&stack, arguments).await.unwrap_err().to_string();
        assert!(
            failure.contains("nothing was changed: asking the vault"),
            "{failure}"
        );
        assert_eq!(keys(&stack, &["list"]).await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_withdrawn_key_counts_no_more_although_the_vault_is_away() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let mut ada = Person::new(stack.addresses(), "ada").await;
    stack.stop_service(Service::Vault).await.unwrap();
    assert_eq!(at_identity(&ada).await, 200);
    let database = database(&stack).await;
    assert_eq!(
        database
            .execute("DELETE FROM signing_keys", &[])
            .await
            .unwrap(),
        2
    );
    // Nothing is known of any key now.
    until("the token void", FOLLOWED, async || {
        let status = at_identity(&ada).await;
        if status == 503 { Ok(()) } else { Err(status) }
    })
    .await
    .unwrap();
    stack.start_service(Service::Vault).await.unwrap();
    until("a new key", FOLLOWED, async || {
        ada.log_in().await.map_err(|failure| failure.to_string())
    })
    .await
    .unwrap();
    assert_eq!(at_identity(&ada).await, 200);
}

async fn database(stack: &Stack) -> tokio_postgres::Client {
    let url = stack.addresses().database.of(Service::Identity);
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}
