//! Root drops to another user for Postgres; a plain user needs nothing of the kind.

use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    time::Duration,
};

use rustix::process::Signal;
use tokio::process::Command;

use crate::launcher::{Folder, Launcher, program};

/// `nobody` on Debian.
const NOBODY: u32 = 65534;

#[tokio::test]
async fn a_plain_user_runs_a_stack_of_its_own() {
    let folder = Folder::new("plain user");
    let mut launcher = as_a_plain_user(&folder).await;
    let user = plain_user();
    for process in launcher.descendants() {
        assert_eq!(process.uid(), user, "{process:?}");
    }
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success(), "{}", launcher.said());
}

#[tokio::test]
async fn no_service_is_dumped_or_read_by_other_processes_of_its_user() {
    let folder = Folder::new("own user");
    let mut launcher = as_a_plain_user(&folder).await;
    let patience = Duration::from_secs(5);
    let client = reqwest::Client::builder()
        .timeout(patience)
        .build()
        .unwrap();
    for service in ["VAULT", "IDENTITY", "JOURNAL"] {
        let pid = launcher.variable(&format!("{service}_PID"));
        for file in ["environ", "maps", "mem", "fd/0"] {
            let mut thief = Command::new("head");
            thief.args(["-c", "1", &format!("/proc/{pid}/{file}")]);
            let read = thief.uid(plain_user()).output().await.unwrap();
            let told = String::from_utf8_lossy(&read.stderr);
            assert!(
                told.contains("Permission denied"),
                "{service} {file}: {told}"
            );
        }
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let mut lines = limits.lines();
        let core = lines.find(|line| line.starts_with("Max core file size"));
        let words: Vec<_> = core.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{service}");
        let ready = launcher.variable(&format!("{service}_OPS_URL"));
        let ready = client.get(format!("{ready}/readyz")).send().await.unwrap();
        let ready: serde_json::Value = ready.json().await.unwrap();
        assert_eq!(ready["checks"]["memory_dumps"], "off", "{service}");
    }
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success(), "{}", launcher.said());
}

/// Root would read anything, so it takes `nobody`; a plain user is one already.
fn plain_user() -> u32 {
    let me = rustix::process::geteuid();
    if me.is_root() { NOBODY } else { me.as_raw() }
}

async fn as_a_plain_user(folder: &Folder) -> Launcher {
    let user = plain_user();
    // To itself, for a plain user.
    chown(folder.path(), Some(user), None).unwrap();
    // The build's folder may be closed to others, so the programs come along.
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    for name in [
        "stack",
        "identity-service",
        "vault-service",
        "journal-service",
    ] {
        std::fs::copy(program().with_file_name(name), programs.join(name)).unwrap();
        std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755))
            .unwrap();
    }
    let mut command = Command::new(programs.join("stack"));
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .current_dir("/")
        .arg("up")
        .arg("--binaries")
        .arg(&programs);
    Launcher::spawn_as(command, folder).ready().await
}

#[tokio::test]
async fn a_folder_that_postgres_may_not_enter_is_no_obstacle_for_root() {
    if !rustix::process::geteuid().is_root() {
        // Only root runs Postgres as somebody else.
        return;
    }
    let folder = Folder::new("closed");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut launcher = Launcher::spawn(&folder).ready().await;
    let said = launcher.said();
    assert!(
        said.contains("cluster in /var/tmp/keystead-cluster-"),
        "{said}"
    );
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success());
    let cluster = said
        .split_once("cluster in ")
        .unwrap()
        .1
        .split(':')
        .next()
        .unwrap();
    std::fs::remove_dir_all(cluster).unwrap();
}

#[tokio::test]
async fn postgres_never_runs_as_root() {
    let folder = Folder::new("who");
    let mut launcher = Launcher::spawn(&folder).ready().await;
    let postgres = launcher
        .descendants()
        .into_iter()
        .find(|seen| seen.is_a_server_called("postgres"))
        .unwrap();
    assert_ne!(postgres.uid(), 0);
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success());
}
