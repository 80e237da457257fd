//! Judges from the Python package index, in a virtual environment under `target/`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use stack::process::dying_with_us;
use stack::{Failure, Progress, install, repository};
use tokio::process::Command;

/// The environment's interpreter, with exactly this version of `package` installed.
pub(crate) async fn with_package(
    package: &str,
    version: &str,
    progress: Progress,
) -> Result<PathBuf, Failure> {
    let folder = repository::root().join("target/judges/python");
    let python = folder.join("bin/python");
    if !python.exists() {
        let system = install::program("python3", "python3-venv", progress)?;
        let make = |command: &mut Command| {
            command.args(["-m", "venv"]).arg(&folder);
        };
        if run(&system, make).await.is_err() {
            // Debian has the interpreter and this module of its library in two packages.
            install::package("python3 -m venv", "python3-venv", progress)?;
            run(&system, make).await?;
        }
    }
    let pinned = format!("{package}=={version}");
    run(&python, |command| {
        command.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &pinned,
        ]);
    })
    .await?;
    Ok(python)
}

/// What it printed, if it succeeded.
pub(crate) async fn run(
    program: &Path,
    arguments: impl FnOnce(&mut Command),
) -> Result<String, Failure> {
    let mut command = Command::from(dying_with_us(program, Signal::KILL));
    arguments(&mut command);
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Failure::when(format!("run {}", program.display())))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(text)
    } else {
        Err(Failure::new(text.trim().to_owned()))
    }
}
