//! The README's tour, pasted into a shell.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use stack::{Progress, Stack, environment, install, repository};

use crate::launcher::{Folder, program};

/// The tour's commands mean the stack of the test, which is not in the repository.
const IN_THE_TOUR: &str = "#!/bin/sh\ncommand=$2; shift 2\nexec \"${0%/*}/launcher\" \"$command\" --data-dir .stack \"$@\"\n";

#[tokio::test]
async fn the_five_minute_tour_works_when_pasted() {
    let folder = Folder::new("tour");
    let data = folder.path().join(".stack");
    let stack = Stack::for_a_test().data_dir(&data).start().await.unwrap();
    let script = shell_blocks("Five-minute tour");
    let path = path_with_cargo_stack(folder.path(), IN_THE_TOUR);
    let paste = |script: &str| pasted(script, &stack, folder.path(), &path);
    let shown = paste(&script);

    let (answers, rows) = shown.split_once("-[ RECORD 1 ]").unwrap();
    let listed: Value = serde_json::from_str(answers.lines().last().unwrap()).unwrap();
    for field in ["title", "body"] {
        let text = listed["entries"][0][field].as_str().expect(&shown);
        assert!(script.contains(text), "{text} is not in the tour: {shown}");
        assert!(!rows.contains(text), "a thief can read {text}: {shown}");
    }
    assert!(rows.contains("-[ RECORD 1 ]"), "one row only: {shown}");
    assert!(!rows.contains("ada@"), "{shown}");

    // With what the tour left behind. The first way wants a library that is not on every machine.
    let trust = shell_blocks("Let another service trust the tokens");
    let (_, asking) = trust.split_once("\nEOF\n").unwrap();
    let login = script.split("# Log in.").nth(1).unwrap();
    let login = login.split("# Write").next().unwrap();
    let asked = format!("source .stack/env\n{login}\n{asking}");
    let told = paste(&asked);
    assert!(told.starts_with(r#"{"active":true,"#), "{told}");
}

/// The code that a section of the README tells its reader to paste.
fn shell_blocks(section: &str) -> String {
    let readme = std::fs::read_to_string(repository::root().join("README.md")).unwrap();
    let (_, from_here) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    let (text, _) = from_here.split_once("\n## ").unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let code = blocks.map(|block| block.split_once("\n```").unwrap().0);
    code.collect::<Vec<_>>().join("\n")
}

/// What bash prints when it is fed `script` in `folder`, where the stack's `.stack/env` is.
fn pasted(script: &str, stack: &Stack, folder: &Path, path: &str) -> String {
    install::program("curl", "curl", Progress::silent()).unwrap();
    let mut bash = Command::new("bash");
    for (name, _) in stack.variables() {
        // Only what the tour itself reads from `.stack/env` may help it.
        bash.env_remove(name);
    }
    let output = bash
        .args(["-c", &format!("set -euo pipefail\n{script}")])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{shown}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    shown
}

/// `cargo stack` is an alias of the repository that builds the launcher first. Outside of it, cargo looks for a program
/// `cargo-stack` on `PATH`: this one is the launcher as it was built with this test.
pub(crate) fn path_with_cargo_stack(folder: &Path, script: &str) -> String {
    let programs = folder.join("programs");
    std::fs::create_dir(&programs).unwrap();
    symlink(program(), programs.join("launcher")).unwrap();
    let subcommand = programs.join("cargo-stack");
    std::fs::write(&subcommand, script).unwrap();
    std::fs::set_permissions(&subcommand, std::fs::Permissions::from_mode(0o755)).unwrap();
    let known = environment::variable("PATH").unwrap_or_default();
    format!("{}:{known}", programs.display())
}
