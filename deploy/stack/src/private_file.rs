//! Files and folders that only their owner may read, written so that a reader never sees half of one.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;

/// Writes beside the target and renames: a crash leaves the old content or the new, mode 0600 from the first byte.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), Failure> {
    let fresh = beside(path);
    let doing = || format!("write {}", path.display());
    let mut file = create(&fresh)?;
    file.write_all(content.as_bytes())
        .map_err(Failure::when(doing()))?;
    std::fs::rename(&fresh, path).map_err(Failure::when(doing()))
}

/// An empty file of mode 0600, replacing what was there.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(Failure::when(format!("create {}", path.display())))
}

/// Reads a small text file without its trailing newline; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::when(format!("read {}", path.display()))(error)),
    }
}

/// A folder with exactly `mode`, made if need be, whatever the umask.
pub(crate) fn folder(path: &Path, mode: u32) -> Result<PathBuf, Failure> {
    let doing = || format!("make the folder {}", path.display());
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(Failure::when(doing()))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Failure::when(doing()))?;
    Ok(path.to_path_buf())
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
