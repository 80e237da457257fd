//! Getting a missing program with the system's package manager, where that is allowed without asking.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Failure, Progress, cluster, environment};

/// The program's path; installs its Debian package when it is missing and this user may.
pub fn program(name: &str, package: &str, progress: Progress) -> Result<PathBuf, Failure> {
    if let Some(found) = environment::program(name) {
        return Ok(found);
    }
    crate::install::package(name, package, progress)?;
    environment::program(name).ok_or_else(|| {
        Failure::new(format!(
            "{package} is installed, and {name} is still not on PATH"
        ))
    })
}

/// Gets the servers of a stack that are missing, all at once.
pub(crate) fn servers(postgres: bool, redis: bool, progress: Progress) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if postgres && cluster::installed(None).is_none() {
        missing.push(("postgres", "postgresql"));
    }
    if redis && environment::program("redis-server").is_none() {
        missing.push(("redis-server", "redis-server"));
    }
    let (names, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    if names.is_empty() {
        return Ok(());
    }
    package(&names.join(" and "), &packages.join(" "), progress)
}

/// Installs `package`, or fails with the one command that would. Several packages are separated by spaces.
pub fn package(name: &str, package: &str, progress: Progress) -> Result<(), Failure> {
    let by_hand = format!("{name} missing: sudo apt-get install -y {package}");
    let apt = environment::program("apt-get").ok_or_else(|| {
        Failure::new(format!(
            "{name} missing: install it (from Debian's {package})"
        ))
    })?;
    let prefix: &[&str] = if environment::is_root() {
        &[]
    } else if sudo_asks_nothing() {
        &["sudo", "-n"]
    } else {
        return Err(Failure::new(by_hand));
    };
    progress.step(
        "install",
        format_args!("{package} (for {name}) with apt-get"),
    );
    let packages: Vec<&str> = package.split(' ').collect();
    // The lists of a fresh image are empty, and an outdated one names files that are gone.
    for arguments in [
        &["update"][..],
        &[&["install", "-y", "--no-install-recommends"], &packages[..]].concat(),
    ] {
        let mut words = prefix
            .iter()
            .copied()
            .chain(["env", "DEBIAN_FRONTEND=noninteractive"]);
        let status = Command::new(words.next().unwrap_or("env"))
            .args(words)
            .arg(&apt)
            .arg("-qq")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(Failure::when(format!("install {package}")))?;
        if !status.success() {
            return Err(Failure::new(format!(
                "apt-get failed ({status}). {by_hand}"
            )));
        }
    }
    Ok(())
}

fn sudo_asks_nothing() -> bool {
    Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
