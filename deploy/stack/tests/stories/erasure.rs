//! A person deletes their account: through all three services, through faults, and through the restore of old backups.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use stack::{Person, Service, Stack, until};
use tokio::process::Command;

/// Longer than all steps of a deletion take on a loaded machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A stack whose deletions end soon.
async fn stack() -> Stack {
    let builder = Stack::for_a_test().set("ERASURE_WAIT", "1s");
    builder.start().await.unwrap()
}

async fn delete(person: &Person) {
    let body = json!({ "password": person.password });
    let answer = person
        .identity(Method::DELETE, "/account", Some(body))
        .await
        .unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
}

/// Waits until the deletion of that person is done everywhere.
async fn gone(stack: &Stack, person: &Person) {
    let sql = format!(
        "SELECT done_at IS NOT NULL FROM erasures WHERE user_id = '{}'",
        person.id
    );
    until("the deletion", LIMIT, async || {
        match query(stack, Service::Identity, &sql).await.as_str() {
            "t" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_deleted_person_is_gone_from_all_three_databases_and_nobody_else_is() {
    let stack = stack().await;
    let ada = Person::new(stack.addresses(), "ada").await;
    let bob = Person::new(stack.addresses(), "bob").await;
    let (hers, his) = (
        ada.write("Ada's day", "Dear diary").await,
        bob.write("Bob's day", "Dear diary").await,
    );
    delete(&ada).await;
    // While her access token still lives: nothing is read, nothing is written.
    until("closed", LIMIT, async || {
        let answer = ada.read(&hers).await;
        let closed = answer.text("/code") == "account_closed";
        closed.then_some(()).ok_or(answer.body)
    })
    .await
    .unwrap();
    gone(&stack, &ada).await;
    let draft = json!({ "date": "2026-11-24", "title": "again", "body": "" });
    let refused = ada.journal(Method::POST, "/entries", Some(draft)).await;
    let refused = refused.unwrap();
    assert_eq!(
        (refused.status, refused.text("/code")),
        (410, "account_closed")
    );

    for (service, allowed) in [
        (Service::Identity, &["erasures"][..]),
        // Who opened her keys and when stays on record, under her id alone.
        (Service::Vault, &["audit_records", "shreds", "subjects"]),
        (Service::Journal, &["closed_journals"]),
    ] {
        let dump = dump(&stack, service).await;
        assert_eq!(tables_naming(&dump, &ada.id), allowed, "{}", service.name());
        assert!(!dump.contains(&hers), "{}", service.name());
    }
    assert_eq!(bob.read(&his).await.text("/title"), "Bob's day");
    let me = bob.identity(Method::GET, "/me", None).await.unwrap();
    assert_eq!(me.text("/email"), bob.email);
}

#[tokio::test]
async fn whoever_leaves_is_shut_out_of_their_journal_long_before_it_is_erased() {
    // Nothing is erased for a week, and the journal has her key in memory.
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let hers = ada.write("Ada's day", "Dear diary").await;
    assert_eq!(ada.read(&hers).await.text("/title"), "Ada's day");
    delete(&ada).await;
    until("closed", LIMIT, async || {
        let answer = ada.read(&hers).await;
        let closed = answer.text("/code") == "account_closed";
        closed.then_some(()).ok_or(answer.body)
    })
    .await
    .unwrap();
    assert!(dump(&stack, Service::Journal).await.contains(&hers));
}

#[tokio::test]
async fn a_deletion_that_begins_while_vault_and_journal_are_away_is_done_when_they_are_back() {
    let mut stack = stack().await;
    let ada = Person::new(stack.addresses(), "ada").await;
    let hers = ada.write("Ada's day", "Dear diary").await;
    stack.stop_service(Service::Vault).await.unwrap();
    stack.stop_service(Service::Journal).await.unwrap();
    delete(&ada).await;
    let login = json!({ "email": ada.email, "password": ada.password });
    let login = ada.identity(Method::POST, "/login", Some(login)).await;
    assert_eq!(login.unwrap().status, 401);
    // Not even identity itself remembers it in memory.
    stack.stop_service(Service::Identity).await.unwrap();
    stack.start_service(Service::Vault).await.unwrap();
    stack.start_service(Service::Identity).await.unwrap();
    let mail = async || {
        let mails = stack::mail::all(&stack.addresses().mail_dir, Some(&ada.email)).unwrap();
        let told = mails.iter().any(|mail| mail.subject.contains("deleted"));
        told.then_some(()).ok_or(mails.len())
    };
    until("the mail", LIMIT, mail).await.unwrap();
    // The vault has done its part; the journal's rows wait, and nothing opens them.
    let salt = format!(
        "SELECT sealed_salt IS NULL FROM subjects WHERE subject = '{}'",
        ada.id
    );
    until("shredded", LIMIT, async || {
        match query(&stack, Service::Vault, &salt).await.as_str() {
            "t" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await
    .unwrap();
    assert!(dump(&stack, Service::Journal).await.contains(&hers));
    stack.start_service(Service::Journal).await.unwrap();
    gone(&stack, &ada).await;
    assert!(!dump(&stack, Service::Journal).await.contains(&hers));
}

#[tokio::test]
async fn restored_backups_of_all_three_databases_bring_everybody_back_but_the_deleted() {
    let mut stack = stack().await;
    let ada = Person::new(stack.addresses(), "ada").await;
    let bob = Person::new(stack.addresses(), "bob").await;
    let (hers, his) = (
        ada.write("Ada's day", "Dear diary").await,
        bob.write("Bob's day", "Dear diary").await,
    );
    let mut backups = Vec::new();
    for service in Service::ALL {
        backups.push((service, backup(&stack, service).await));
    }
    delete(&ada).await;
    gone(&stack, &ada).await;

    for service in Service::ALL {
        stack.stop_service(service).await.unwrap();
    }
    for (service, file) in &backups {
        restore(&stack, *service, file).await;
    }
    // Her row is back with what was sealed, and so is her account: identity has forgotten the deletion.
    assert!(dump(&stack, Service::Journal).await.contains(&hers));
    let erasures = query(&stack, Service::Identity, "SELECT count(*) FROM erasures").await;
    assert_eq!(erasures, "0");
    for service in [Service::Vault, Service::Identity, Service::Journal] {
        stack.start_service(service).await.unwrap();
    }

    let read = ada.read(&hers).await;
    assert_eq!((read.status, read.text("/code")), (410, "account_closed"));
    let me = ada.identity(Method::GET, "/me", None).await.unwrap();
    assert_eq!((me.status, me.text("/code")), (503, "unavailable"));
    assert_eq!(bob.read(&his).await.text("/title"), "Bob's day");
    let me = bob.identity(Method::GET, "/me", None).await.unwrap();
    assert_eq!(me.text("/email"), bob.email);
    // Identity has learnt from the vault that she is gone, and deletes what came back.
    let login = json!({ "email": ada.email, "password": ada.password });
    let login = ada.identity(Method::POST, "/login", Some(login)).await;
    assert_eq!(login.unwrap().status, 401);
    gone(&stack, &ada).await;
    assert!(!dump(&stack, Service::Journal).await.contains(&hers));
}

#[tokio::test]
async fn without_the_tombstone_file_identity_asks_a_restored_vault_again() {
    let mut stack = stack().await;
    let ada = Person::new(stack.addresses(), "ada").await;
    let bob = Person::new(stack.addresses(), "bob").await;
    let his = bob.write("Bob's day", "Dear diary").await;
    ada.write("Ada's day", "Dear diary").await;
    let file = backup(&stack, Service::Vault).await;
    delete(&ada).await;
    gone(&stack, &ada).await;

    stack.stop_service(Service::Identity).await.unwrap();
    stack.stop_service(Service::Vault).await.unwrap();
    restore(&stack, Service::Vault, &file).await;
    std::fs::remove_file(stack.folder().join("tombstones")).unwrap();
    stack.start_service(Service::Vault).await.unwrap();
    let salt = format!(
        "SELECT sealed_salt IS NOT NULL FROM subjects WHERE subject = '{}'",
        ada.id
    );
    assert_eq!(query(&stack, Service::Vault, &salt).await, "t");

    stack.start_service(Service::Identity).await.unwrap();
    until("shredded again", LIMIT, async || {
        match query(&stack, Service::Vault, &salt).await.as_str() {
            "f" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await
    .unwrap();
    assert_eq!(bob.read(&his).await.text("/title"), "Bob's day");
}

/// The tables of a dump that have that text in a row.
fn tables_naming<'a>(dump: &'a str, text: &str) -> Vec<&'a str> {
    let mut table = "";
    let mut found = Vec::new();
    for line in dump.lines() {
        if let Some(copied) = line.strip_prefix("COPY public.") {
            table = copied.split(' ').next().unwrap_or_default();
        } else if line.contains(text) && found.last() != Some(&table) {
            found.push(table);
        }
    }
    found
}

async fn dump(stack: &Stack, service: Service) -> String {
    let url = stack.addresses().database.of(service);
    run("pg_dump", &[url]).await
}

async fn query(stack: &Stack, service: Service, sql: &str) -> String {
    let url = stack.addresses().database.of(service);
    let answer = run("psql", &[url, "-Atqc", sql]).await;
    answer.trim().to_owned()
}

/// A copy of the whole database, as an operator keeps it.
async fn backup(stack: &Stack, service: Service) -> PathBuf {
    let file = stack
        .folder()
        .join(format!("{}.backup.sql", service.name()));
    std::fs::write(&file, dump(stack, service).await).unwrap();
    file
}

/// Puts an old copy in the place of what is there.
async fn restore(stack: &Stack, service: Service, file: &Path) {
    let url = stack.addresses().database.of(service);
    let file = file.display().to_string();
    // Whoever owns the schema may not own the database.
    let empty = "DROP OWNED BY CURRENT_USER; CREATE SCHEMA IF NOT EXISTS public";
    run("psql", &[url, "-qc", empty]).await;
    run("psql", &[url, "-q", "-v", "ON_ERROR_STOP=1", "-f", &file]).await;
}

async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
