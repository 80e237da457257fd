//! Root drops to another user for Postgres; a plain user needs nothing of the kind.

use std::os::unix::fs::{PermissionsExt as _, chown};

use rustix::process::Signal;
use tokio::process::Command;

use crate::launcher::{Folder, Launcher, program};

/// `nobody` on Debian.
const NOBODY: u32 = 65534;

#[tokio::test]
async fn a_plain_user_runs_a_stack_of_its_own() {
    if !rustix::process::geteuid().is_root() {
        // Then every other story here is this one.
        return;
    }
    let folder = Folder::new("nobody");
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
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
    command
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .arg("up")
        .arg("--binaries")
        .arg(&programs);
    let mut launcher = Launcher::spawn_as(command, &folder).ready().await;
    for process in launcher.descendants() {
        assert_eq!(process.uid(), NOBODY, "{process:?}");
    }
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success(), "{}", launcher.said());
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
