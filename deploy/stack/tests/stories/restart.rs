//! A stack that is started again in its folder is the same stack.

use std::path::Path;

use stack::{Binaries, Service, Stack};

use crate::launcher::{Folder, program};

#[tokio::test]
async fn a_restart_keeps_the_data_and_the_keys() {
    let folder = Folder::new("restart");
    let first = started(folder.path()).await;
    let database = first.addresses().database.of(Service::Journal).clone();
    run(
        &database,
        "create table kept (word text); insert into kept values ('still here')",
    )
    .await;
    let kept = [
        "secrets/master_encryption_key",
        "secrets/identity_secret_keys",
        "tls/ca.pem",
        "secrets/journal_service_key.pem",
    ];
    let before = kept.map(|name| std::fs::read(folder.path().join(name)).unwrap());
    first.stop().await.unwrap();

    let second = started(folder.path()).await;
    let database = second.addresses().database.of(Service::Journal).clone();
    assert_eq!(
        run(&database, "select word from kept").await,
        ["still here"]
    );
    let after = kept.map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert!(before == after, "a key was made anew");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn an_ephemeral_stack_takes_its_folder_with_it() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let folder = stack.folder().to_path_buf();
    assert!(folder.join("env").exists());
    drop(stack);
    assert!(!folder.exists());
}

#[tokio::test]
async fn servers_can_go_and_come_back_at_the_same_address_with_their_data() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let database = stack.addresses().database.of(Service::Vault).clone();
    run(
        &database,
        "create table kept (word text); insert into kept values ('still here')",
    )
    .await;
    stack.stop_postgres().await.unwrap();
    assert!(
        tokio_postgres::connect(&database, tokio_postgres::NoTls)
            .await
            .is_err()
    );
    stack.start_postgres().await.unwrap();
    assert_eq!(
        run(&database, "select word from kept").await,
        ["still here"]
    );
    stack.stop_redis().await.unwrap();
    stack.start_redis().await.unwrap();
}

async fn started(folder: &Path) -> Stack {
    let binaries = Binaries::in_folder(program().parent().unwrap()).unwrap();
    Stack::builder()
        .data_dir(folder)
        .binaries(binaries)
        .start()
        .await
        .unwrap()
}

/// The first column of all rows.
async fn run(url: &str, statements: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let messages = client.simple_query(statements).await.unwrap();
    messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect()
}
