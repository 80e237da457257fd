//! The tombstone file: one receipt a line, beside the database and not in it, so that restoring the database does not
//! bring anybody back.
//!
//! A line is on the disk before the shred that it tells of is confirmed. Replicas may share one file.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::domain::receipt::{ReceiptKeys, Statement};

/// How long another replica may hold the file: many times what a line takes.
const LOCK_LIMIT: Duration = Duration::from_secs(3);
/// The pause between two tries to lock it.
const LOCK_AGAIN: Duration = Duration::from_millis(20);

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
    pub(crate) async fn read(&self, keys: &ReceiptKeys) -> Result<Vec<Tombstone>, Unreadable> {
        let mut file = locked(open_or_create(&self.path)?).await?;
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

    /// Adds a line for each shred and returns when all of them are on the disk.
    pub(crate) async fn append(&self, receipts: &[(Uuid, &str)]) -> io::Result<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        let lines: String = receipts
            .iter()
            .flat_map(|(_, receipt)| [*receipt, "\n"])
            .collect();
        // A file that went missing is not made anew: then something is wrong, and nothing is to be confirmed.
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)?;
        let file = locked(file).await?;
        spawn_blocking(move || append(file, &lines))
            .await
            .map_err(io::Error::other)??;
        self.held().extend(receipts.iter().map(|(id, _)| *id));
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
    // It names everybody who left.
    options.mode(0o600);
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

/// Waits for the replica that has the file, and for one that hangs no longer than [`LOCK_LIMIT`].
async fn locked(file: File) -> io::Result<File> {
    let waiting = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => sleep(LOCK_AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    timeout(LOCK_LIMIT, waiting).await??;
    Ok(file)
}

fn append(mut file: File, lines: &str) -> io::Result<()> {
    if !ends_with_newline(&mut file)? {
        whole_lines(&mut file, |_| false)?;
    }
    file.write_all(lines.as_bytes())?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::{collection::vec, prelude::*, sample::Index};
    use shared::random;

    use super::*;
    use crate::domain::hostile::{change, changed, receipts};

    /// A tombstone file that is removed with its folder.
    struct Kept(PathBuf);

    impl Kept {
        fn holding(bytes: &[u8]) -> Self {
            let name = format!("keystead-tombstones-{}", hex::encode(random::bytes::<8>()));
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).expect("a temporary folder");
            fs::write(folder.join("file"), bytes).expect("a temporary file");
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("file")
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.path()).expect("it is there")
        }

        /// The receipts that a vault finds when it starts.
        fn read(&self, keys: &ReceiptKeys) -> Result<Vec<String>, Unreadable> {
            let tombstones = done(TombstoneFile::new(self.path()).read(keys))?;
            Ok(tombstones.into_iter().map(|it| it.receipt).collect())
        }

        fn append(&self, (id, receipt): &(Uuid, String)) {
            let file = TombstoneFile::new(self.path());
            done(file.append(&[(*id, receipt)])).expect("it takes a line");
            assert!(file.holds(*id));
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn done<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(work)
    }

    fn lines(receipts: &[(Uuid, String)]) -> String {
        let lines = receipts.iter().flat_map(|(_, receipt)| [receipt, "\n"]);
        lines.collect()
    }

    proptest! {
        // Each case waits for the disk some times.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_that_ends_anywhere_has_every_line_that_is_whole_and_takes_more(cut in any::<Index>()) {
            let (keys, [first, second, third]) = receipts();
            let both = [first, second];
            let text = lines(&both);
            let cut = cut.index(text.len() + 1);
            let file = Kept::holding(&text.as_bytes()[..cut]);
            let mut whole = Vec::new();
            let mut end = 0;
            for (_, receipt) in both {
                end += receipt.len();
                if end <= cut {
                    whole.push(receipt);
                }
                end += 1;
            }
            // A vault that runs goes on with a line of another one that crashed; one that starts looks first.
            let appended_to = Kept::holding(&text.as_bytes()[..cut]);
            appended_to.append(&third);
            let found = appended_to.read(&keys).expect("only the last line is not whole");
            prop_assert_eq!(found.last(), Some(&third.1));
            prop_assert!(whole.starts_with(&found[..found.len() - 1]));

            prop_assert_eq!(file.read(&keys).expect("only the last line is not whole"), whole.clone());
            file.append(&third);
            whole.push(third.1);
            prop_assert_eq!(file.read(&keys).expect("whole lines"), whole);
        }

        #[test]
        fn a_changed_file_is_refused_or_has_what_it_had(changes in vec(change(), 1..4)) {
            let (keys, written) = receipts::<3>();
            let bytes = changed(lines(&written).as_bytes(), &changes);
            let file = Kept::holding(&bytes);
            match file.read(&keys) {
                Ok(found) => {
                    let text = String::from_utf8(bytes).expect("it was read");
                    for (_, receipt) in &written {
                        let stands = text.lines().any(|line| line == receipt);
                        prop_assert_eq!(found.contains(receipt), stands);
                    }
                    prop_assert!(found.iter().all(|found| written.iter().any(|(_, it)| it == found)));
                    // What stands after a start is what counted in it.
                    let after = file.bytes();
                    prop_assert_eq!(file.read(&keys).expect("read before"), found);
                    prop_assert_eq!(file.bytes(), after);
                }
                Err(why) => {
                    let told = why.to_string();
                    prop_assert!(told.starts_with("is damaged: line ") || told.starts_with("cannot be used"), "{}", told);
                }
            }
        }

        #[test]
        fn any_bytes_are_no_tombstones(bytes in vec(any::<u8>(), 0..200), lines in "([A-Za-z0-9_.-]{0,40}\n){1,3}") {
            let (keys, [receipt]) = receipts();
            if let Ok(found) = Kept::holding(&bytes).read(&keys) {
                prop_assert_eq!(found, Vec::<String>::new());
            }
            for text in [lines.clone(), format!("{}\n{lines}", receipt.1)] {
                let damaged = Kept::holding(text.as_bytes());
                prop_assert!(damaged.read(&keys).is_err());
                prop_assert_eq!(damaged.bytes(), text.into_bytes());
            }
        }
    }
}
