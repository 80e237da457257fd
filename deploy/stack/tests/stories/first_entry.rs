//! The main path, and what a thief of everything at rest would find.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use shared::clock::Clock;
use shared::vault_client::{KeyOf, VaultError};
use stack::{Person, Service, Stack};
use tokio::process::Command;
use uuid::Uuid;

use crate::secrets;

const TITLE: &str = "Zirkonium am Montagmorgen";
const BODY: &str = "Nobody may ever read that I burnt the Bouillabaisse.";

#[tokio::test]
async fn a_persons_first_entry_goes_all_the_way_and_lies_unreadable_everywhere() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let id = ada.write(TITLE, BODY).await;
    let read = ada.read(&id).await;
    assert_eq!(
        (read.status, read.text("/title"), read.text("/body")),
        (200, TITLE, BODY)
    );
    let changed = ada.rewrite(&id, 1, TITLE, &format!("{BODY} Twice.")).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let secrets = secrets::of(&stack, &ada, [("the title", TITLE), ("the body", BODY)]).await;

    let mut loot = Vec::new();
    for service in Service::ALL {
        let dump = dump(stack.addresses().database.of(service)).await;
        assert!(
            dump.contains("COPY public."),
            "the dump of {} is empty",
            service.name()
        );
        loot.push((format!("the database of {}", service.name()), dump));
    }
    for entry in std::fs::read_dir(&stack.addresses().log_dir)
        .unwrap()
        .flatten()
    {
        let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
        loot.push((format!("the log {}", entry.file_name().display()), text));
    }
    // The servers log too, and the services as much as they can.
    for name in ["postgres", "redis", "vault", "identity", "journal"] {
        let place = format!("the log {name}.log");
        let (_, log) = loot.iter().find(|(found, _)| *found == place).unwrap();
        assert!(!log.is_empty(), "{place}");
    }
    for (what, secret) in &secrets {
        for form in forms(secret) {
            for (place, text) in &loot {
                assert!(!text.contains(&form), "{what} is in {place}");
            }
        }
    }
}

#[tokio::test]
async fn another_persons_entry_does_not_exist() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let bob = Person::new(stack.addresses(), "bob").await;
    let id = ada.write(TITLE, BODY).await;
    assert_eq!(bob.read(&id).await.status, 404);
    assert_eq!(bob.rewrite(&id, 1, "mine", "now").await.status, 404);
    assert_eq!(ada.read(&id).await.text("/title"), TITLE);
}

#[tokio::test]
async fn everything_recovers_when_postgres_comes_back() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let id = ada.write(TITLE, BODY).await;
    stack.stop_postgres().await.unwrap();
    assert_eq!(ada.read(&id).await.status, 503);
    let login = serde_json::json!({ "email": ada.email, "password": ada.password });
    let refused = ada
        .identity(reqwest::Method::POST, "/login", Some(login))
        .await
        .unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    // The vault itself says so too, and is the same process afterwards.
    let vault = secrets::vault_of(&stack, Service::Identity);
    let of = KeyOf {
        subject: Uuid::from_u128(7),
        purpose: "outbox",
        generation: 1,
    };
    let asked = vault.create(of, None, Clock::system().now()).await;
    assert!(
        matches!(asked, Err(VaultError::Unavailable(_))),
        "{:?}",
        asked.err()
    );
    stack.start_postgres().await.unwrap();
    stack::until(
        "the entry again",
        std::time::Duration::from_secs(20),
        async || {
            let answer = ada.read(&id).await;
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.status)
            }
        },
    )
    .await
    .unwrap();
    let bob = Person::new(stack.addresses(), "bob").await;
    bob.write(TITLE, BODY).await;
    let asked = vault.create(of, None, Clock::system().now()).await;
    assert!(asked.is_ok(), "{:?}", asked.err());
}

/// How the bytes would look as text, in a `bytea`, and in the two alphabets of base 64; its padding only ever
/// comes after this.
fn forms(secret: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(secret).ok().map(str::to_owned);
    let encoded = [
        hex::encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ];
    text.into_iter().chain(encoded).collect()
}

/// Everything in a database as SQL text.
async fn dump(url: &str) -> String {
    let output = Command::new("pg_dump")
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
