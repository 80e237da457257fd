//! The folder a stack keeps everything in, and the lock that makes it one stack's own.
//!
//! ```text
//! .stack/lock       held while a stack runs; the kernel lets go of it however the launcher ends
//! .stack/env        where everything is, while it runs
//! .stack/secrets/   keys and passwords        .stack/tls/   development CA and certificates
//! .stack/postgres/  cluster                   .stack/redis/ counters
//! .stack/logs/      one file per process      .stack/mail/  what would have been sent
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::{Failure, environment, private_file};

/// Begins the names of ephemeral folders, so that those of killed launchers are recognised.
const EPHEMERAL: &str = "keystead-";

/// A locked data folder; an ephemeral one is removed when dropped.
pub(crate) struct DataDir {
    path: PathBuf,
    ephemeral: bool,
    /// Its servers keep what they were told although the folder goes.
    durable: bool,
    _lock: File,
}

impl DataDir {
    /// The folder at `path`, which keeps its content between runs.
    pub(crate) fn kept(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)
            .map_err(Failure::when(format!("find the folder {}", path.display())))?;
        private_file::folder(&path, mode())?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            ephemeral: false,
            durable: true,
            _lock: lock,
        })
    }

    /// A new folder that goes with the stack, after those that killed launchers left behind have been removed.
    pub(crate) fn ephemeral() -> Result<Self, Failure> {
        let home = std::env::temp_dir();
        remove_abandoned(&home);
        let mut drawn = [0; 8];
        aws_lc_rs::rand::fill(&mut drawn).map_err(Failure::when("name a temporary folder"))?;
        let path = home.join(format!("{EPHEMERAL}{}", hex::encode(drawn)));
        private_file::folder(&path, mode())?;
        let lock = lock(&path)?;
        Ok(Self {
            path,
            ephemeral: true,
            durable: false,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, for servers that are as slow as those of users.
    pub(crate) fn with_durable_servers(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Whether its servers need not keep anything beyond a loss of power.
    pub(crate) fn spares_the_disk(&self) -> bool {
        !self.durable
    }

    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        private_file::folder(&self.path.join(name), 0o700)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.ephemeral {
            let _ = std::fs::remove_dir_all(&self.path);
        } else {
            // Emptied, not removed: removing would let a third launcher lock a new file while a second waits on this.
            let _ = File::create(self.path.join("lock"));
        }
    }
}

/// Root lets others pass through, because Postgres runs as one of them; what is inside has modes of its own.
fn mode() -> u32 {
    if environment::is_root() { 0o711 } else { 0o700 }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Failure::when(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(Failure::new(format!(
                "a stack is already running in {} (process {}): stop it first, or start another beside it with --data-dir or --ephemeral",
                folder.display(),
                owner.trim()
            )));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Failure::when(format!("lock {}", path.display()))(error));
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Failure::when(format!("write {}", path.display())))?;
    Ok(file)
}

/// Removes ephemeral folders of this user whose lock nobody holds.
fn remove_abandoned(home: &Path) {
    let Ok(entries) = std::fs::read_dir(home) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(EPHEMERAL))
            && entry.metadata().is_ok_and(|found| {
                found.is_dir() && found.uid() == rustix::process::geteuid().as_raw()
            });
        if ours && is_abandoned(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A lock file that names its process but is held by nobody. One without a name was made a moment ago and is about to
/// be locked.
fn is_abandoned(folder: &Path) -> bool {
    let Ok(mut file) = File::open(folder.join("lock")) else {
        return false;
    };
    let mut owner = String::new();
    file.read_to_string(&mut owner).is_ok() && !owner.is_empty() && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_one_stack_at_a_time_and_to_the_next_one_after() {
        let home = DataDir::ephemeral().unwrap();
        let path = home.path().join("a folder");
        let first = DataDir::kept(&path).unwrap();
        let refusal = DataDir::kept(&path).err().unwrap().to_string();
        assert!(
            refusal.contains(&format!("process {}", std::process::id())),
            "{refusal}"
        );
        drop(first);
        DataDir::kept(&path).unwrap();
    }

    #[test]
    fn an_abandoned_ephemeral_folder_is_removed_and_a_held_one_is_not() {
        let home = DataDir::ephemeral().unwrap();
        let abandoned = home.path().join(format!("{EPHEMERAL}abandoned"));
        std::fs::create_dir(&abandoned).unwrap();
        std::fs::write(abandoned.join("lock"), "4194305\n").unwrap();
        let held = home.path().join(format!("{EPHEMERAL}held"));
        let holder = DataDir::kept(&held).unwrap();
        remove_abandoned(home.path());
        assert!(!abandoned.exists());
        assert!(held.exists());
        drop(holder);
    }
}
