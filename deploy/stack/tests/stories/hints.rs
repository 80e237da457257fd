//! What `cargo stack up` says to run next runs, wherever the stack has its data.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::launcher::{Folder, Launcher};
use crate::tour::path_with_cargo_stack;

const CARGO_STACK: &str = "#!/bin/sh\nshift\nexec \"${0%/*}/launcher\" \"$@\"\n";

#[tokio::test]
async fn the_commands_that_a_start_ends_with_find_their_stack() {
    let folder = Folder::new("hints");
    let mut launcher = Launcher::spawn(&folder).ready().await;
    let path = path_with_cargo_stack(folder.path(), CARGO_STACK);
    let said = launcher.said_until("Try it:").await;
    let hinted = |command: &str| {
        let from = said.find(command).expect(&said);
        let line = said.split_at(from).1.lines().next().unwrap();
        line.strip_suffix(')')
            .expect("the hint is in parentheses")
            .to_owned()
    };
    let shown = |command: &str| {
        let ran = Command::new("bash")
            .args(["-c", command])
            .current_dir("/")
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{command}: {errors}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let mails = shown(&hinted("cargo stack mail"));
    let data_dir = launcher.data_dir().display().to_string();
    assert!(
        mails.contains("No mail in") && mails.contains(&data_dir),
        "{mails}"
    );
    let psql = hinted("cargo stack psql");
    let asked = format!("{psql} -tAc 'SELECT current_user'");
    assert_eq!(shown(&asked).trim(), "identity");
    launcher.signal(Signal::INT);
    assert!(launcher.ended().await.success());
}
