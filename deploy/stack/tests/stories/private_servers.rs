//! The private servers are private, and secrets stay in files that only their owner reads.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use stack::{Service, Stack};
use tokio_postgres::NoTls;

use crate::launcher::{Folder, Launcher};

#[tokio::test]
async fn no_service_may_connect_to_the_database_of_another() {
    let stack = Stack::for_a_test().start().await.unwrap();
    for owner in Service::ALL {
        let own = stack.addresses().database.of(owner);
        drop(tokio_postgres::connect(own, NoTls).await.unwrap());
        for other in Service::ALL
            .into_iter()
            .filter(|other| *other != owner)
            .map(Service::name)
            .chain(["postgres"])
        {
            let (server, _) = own.rsplit_once('/').unwrap();
            let Err(refusal) = tokio_postgres::connect(&format!("{server}/{other}"), NoTls).await
            else {
                panic!("{} may connect to {other}", owner.name());
            };
            let code = refusal.code().map(tokio_postgres::error::SqlState::code);
            assert_eq!(
                code,
                Some("42501"),
                "{} to {other}: {refusal}",
                owner.name()
            );
        }
    }
}

#[tokio::test]
async fn the_servers_want_a_password() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let with = stack.addresses().database.of(Service::Identity);
    let password = with.split([':', '@']).nth(2).unwrap();
    let wrong = with.replace(password, "guess");
    let Err(refusal) = tokio_postgres::connect(&wrong, NoTls).await else {
        panic!("a wrong password is good enough");
    };
    assert_eq!(
        refusal.code().map(tokio_postgres::error::SqlState::code),
        Some("28P01")
    );
    let redis = stack
        .addresses()
        .redis
        .rsplit_once('@')
        .unwrap()
        .1
        .trim_end_matches("/0")
        .to_owned();
    assert!(ping(&redis).await.starts_with("-NOAUTH"));
}

#[tokio::test]
async fn secrets_are_in_no_argument_and_no_environment_and_their_files_are_closed_to_others() {
    let folder = Folder::new("secrets");
    let mut launcher = Launcher::spawn(&folder).ready().await;
    let secrets = secrets_in(&launcher.data_dir().join("secrets"));
    assert!(secrets.len() >= 7, "{} secrets", secrets.len());
    for process in launcher.descendants() {
        for file in ["cmdline", "environ"] {
            // A service that made itself undumpable does not even show these to its own user.
            let Ok(shown) = std::fs::read(format!("/proc/{}/{file}", process.pid())) else {
                continue;
            };
            let shown = String::from_utf8_lossy(&shown).into_owned();
            for (name, secret) in &secrets {
                assert!(
                    !shown.contains(secret),
                    "{name} is in the {file} of {process:?}"
                );
            }
        }
    }
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success());
}

/// Every value in the folder, by file; checks that nobody else may read them.
fn secrets_in(folder: &Path) -> Vec<(String, String)> {
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (
                entry.file_name().display().to_string(),
                text.trim().to_owned(),
            )
        })
        .collect()
}

async fn ping(address: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(b"PING\r\n").await.unwrap();
    let mut answer = Vec::new();
    socket.read_buf(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
