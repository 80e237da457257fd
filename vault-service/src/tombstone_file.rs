//! The tombstone file: one receipt a line, beside the database and not in it, so that restoring the database does not
//! bring anybody back.
//!
//! A line is on the disk before the shred that it tells of is confirmed. Replicas may share one file.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thiserror::Error;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::domain::receipt::{ReceiptKeys, Statement};

/// The file, and which shreds it is known to hold.
pub(crate) struct TombstoneFile {
    path: PathBuf,
    held: Mutex<HashSet<Uuid>>,
}

/// One line.
pub(crate) struct Tombstone {
    pub(crate) statement: Statement,
    pub(crate) receipt: String,
}

/// Why the file cannot be relied on.
#[derive(Debug, Error)]
pub(crate) enum Unreadable {
    #[error("is damaged: line {0} is no receipt that this vault has signed")]
    Line(usize),
    #[error("cannot be used: {0}")]
    File(#[from] io::Error),
}

impl TombstoneFile {
    /// Nothing is opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            held: Mutex::default(),
        }
    }

    /// Every tombstone in the file, which is made when there is none.
    pub(crate) fn read(&self, keys: &ReceiptKeys) -> Result<Vec<Tombstone>, Unreadable> {
        let mut file = open_or_create(&self.path)?;
        file.lock()?;
        let lines = whole_lines(&mut file, |line| keys.verify(line).is_ok())?;
        let tombstones: Vec<_> = (1..)
            .zip(lines.lines())
            .map(|(number, line)| {
                let statement = keys.verify(line).map_err(|_| Unreadable::Line(number))?;
                Ok(Tombstone {
                    statement,
                    receipt: line.to_owned(),
                })
            })
            .collect::<Result<_, Unreadable>>()?;
        let ids = tombstones.iter().map(|it| it.statement.shred_id);
        self.held().extend(ids);
        Ok(tombstones)
    }

    /// Whether the file is known to hold this shred.
    pub(crate) fn holds(&self, shred_id: Uuid) -> bool {
        self.held().contains(&shred_id)
    }

    /// Adds a line and returns when it is on the disk.
    pub(crate) async fn append(self: &Arc<Self>, shred_id: Uuid, receipt: &str) -> io::Result<()> {
        let (file, line) = (Arc::clone(self), format!("{receipt}\n"));
        spawn_blocking(move || append(&file.path, &line))
            .await
            .map_err(io::Error::other)??;
        self.held().insert(shred_id);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Readable and writable; a new one is on the disk, with its name, before anything is written to it.
fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path)?;
    file.sync_all()?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// A file that went missing is not made anew: then something is wrong, and nothing is to be confirmed.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    file.lock()?;
    if !ends_with_newline(&mut file)? {
        whole_lines(&mut file, |_| false)?;
    }
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Looks at one byte, however long the file has become.
fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The text, whose last line may have no newline. One that is `whole` all the same lost it to whoever copied the file,
/// and gets it back. Any other was interrupted by a crash, so its shred was never confirmed and is done again: it is
/// taken out, or the next line would be appended to it.
fn whole_lines(file: &mut File, whole: impl FnOnce(&str) -> bool) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    let (before, last) = text.split_at(text.rfind('\n').map_or(0, |at| at + 1));
    if last.is_empty() {
        return Ok(text);
    }
    if whole(last) {
        file.write_all(b"\n")?;
        text.push('\n');
    } else {
        let (kept, bytes) = (before.len(), last.len());
        tracing::warn!(
            bytes,
            "an unfinished line of the tombstone file is taken out"
        );
        file.set_len(kept as u64)?;
        text.truncate(kept);
    }
    file.sync_all()?;
    Ok(text)
}
