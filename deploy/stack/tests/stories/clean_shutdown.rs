//! However the launcher ends, nothing of it stays.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use crate::launcher::{Folder, Launcher, all_gone, program, send};

#[tokio::test]
async fn ctrl_c_and_sigterm_stop_everything_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new("told to stop");
        let mut launcher = Launcher::spawn(&folder).ready().await;
        let children = launcher.descendants();
        assert!(children.len() >= 5, "{children:?}");
        launcher.signal(signal);
        let status = launcher.ended().await;
        assert!(status.success(), "{status}\n{}", launcher.said());
        all_gone(&children).await;
        let data = launcher.data_dir();
        assert!(!data.join("env").exists());
        assert!(
            !data.join("postgres/postmaster.pid").exists(),
            "Postgres was not shut down cleanly"
        );
        for service in ["identity", "vault", "journal"] {
            let log = std::fs::read_to_string(data.join(format!("logs/{service}.log"))).unwrap();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

#[tokio::test]
async fn a_launcher_killed_outright_leaves_no_process() {
    let folder = Folder::new("killed");
    let mut launcher = Launcher::spawn(&folder).ready().await;
    let children = launcher.descendants();
    launcher.signal(Signal::KILL);
    launcher.ended().await;
    all_gone(&children).await;
    // What it left behind does not stop the next one.
    let mut next = Launcher::spawn(&folder).ready().await;
    next.signal(Signal::INT);
    assert!(next.ended().await.success());
}

#[tokio::test]
async fn a_crash_of_any_child_stops_the_rest_and_names_it() {
    let folder = Folder::new("crash");
    for name in ["vault", "identity", "journal", "redis", "postgres"] {
        let mut launcher = Launcher::spawn(&folder).ready().await;
        let children = launcher.descendants();
        let victim = match name {
            "redis" | "postgres" => server(&launcher, name),
            service => launcher
                .variable(&format!("{}_PID", service.to_uppercase()))
                .parse()
                .unwrap(),
        };
        send(victim, Signal::KILL);
        let status = launcher.ended().await;
        let said = launcher.said();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("{name} ended unexpectedly (signal: 9")),
            "{said}"
        );
        all_gone(&children).await;
        assert!(!launcher.data_dir().join("env").exists());
    }
}

#[tokio::test]
async fn stopping_while_starting_leaves_nothing_half_written() {
    let folder = Folder::new("impatient");
    let mut launcher = Launcher::spawn(&folder);
    stack::until("the start to begin", Duration::from_secs(20), async || {
        if launcher.data_dir().join("postgres").exists() {
            Ok(())
        } else {
            Err("nothing yet")
        }
    })
    .await
    .unwrap();
    let children = launcher.descendants();
    launcher.signal(Signal::TERM);
    let status = launcher.ended().await;
    assert_eq!(status.code(), Some(1), "{}", launcher.said());
    all_gone(&children).await;
    assert!(!launcher.data_dir().join("env").exists());
    let mut next = Launcher::spawn(&folder).ready().await;
    next.signal(Signal::INT);
    assert!(next.ended().await.success());
}

/// The compilers that cargo starts are processes of their own.
#[tokio::test]
async fn stopping_while_it_compiles_leaves_no_compiler() {
    let folder = Folder::new("compiling");
    let cargo = folder.path().join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\nsleep 600 &\nsleep 600\n").unwrap();
    std::fs::set_permissions(&cargo, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), env!("PATH"));
    let mut command = Command::new(program());
    command.arg("up").env("PATH", path);
    let mut launcher = Launcher::spawn_as(command, &folder);
    let compiling = async || {
        let children = launcher.descendants();
        let compilers = children.iter().filter(|seen| seen.name() == "sleep");
        match compilers.count() {
            2 => Ok(children),
            other => Err(other),
        }
    };
    let children = stack::until("two compilers", Duration::from_secs(20), compiling).await;
    launcher.signal(Signal::TERM);
    launcher.ended().await;
    all_gone(&children.unwrap()).await;
}

/// The process of a private server among the launcher's children.
fn server(launcher: &Launcher, name: &str) -> u32 {
    let found = launcher
        .descendants()
        .into_iter()
        .find(|seen| seen.is_a_server_called(name));
    found.expect("the server is running").pid()
}
