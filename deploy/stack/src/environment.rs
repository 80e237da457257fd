//! The only reader of the launcher's own environment and of `PATH`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A variable of the launcher's environment; an empty one counts as absent.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the launcher's environment"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the launcher's environment"
)]
pub(crate) fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Where a program is: on `PATH`, or in the folders that hold servers on Debian but are not on every user's `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let beside = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path())
        .chain(beside)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
