//! A journal out of a file: all of it or nothing.

mod refusals;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use shared::{
    access_token::Caller,
    envelope::DataKey,
    problem::{FieldError, Unexpected},
    serve::BodyRefused,
    user_id::UserId,
};
use time::OffsetDateTime;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, KeyError},
    domain::{
        entry::Entry,
        pillar::PillarId,
        restored::{File, Line},
        sealed_entry::SealedEntry,
    },
    entries::open,
    slots::{Busy, Slot},
    store::{
        closed_journals,
        imports::{self, Existing},
        pillars,
    },
};

pub(crate) use refusals::ImportError;

/// Bytes of text that are sealed and stored in one go; the first entry always is taken.
const BYTES: usize = 1 << 20;
/// Entries of them.
const ENTRIES: usize = 500;

/// Some lines of the file, in their order, or why no more of it can be read.
pub(crate) type Lines = Result<Vec<Result<Line, Vec<FieldError>>>, BodyRefused>;

/// What an import has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Records that were not there.
    pub(crate) created: u64,
    /// Records that were there with the same content.
    pub(crate) unchanged: u64,
}

/// Takes one of the places for imports, to be kept for as long as anything of the file is read.
pub(crate) fn begin(journal: &Journal, caller: &Caller) -> Result<Slot, ImportError> {
    let taken = journal.imports.take(caller.user_id());
    taken.map_err(|busy| match busy {
        Busy::Person => ImportError::InProgress,
        Busy::Everybody => ImportError::Overloaded,
    })
}

/// Stores all records of a file in the caller's journal, with the ids and times that they had, or none when anything is wrong
/// with any of it.
///
/// Here a client is waited for while a connection is held, for a file that is longer than a batch: nothing of it must be
/// there before its end is. Its time is limited, and so is the number of imports, to a part of the connections. No row of the
/// journal is locked meanwhile.
pub(crate) async fn import(
    journal: &Journal,
    caller: &Caller,
    lines: mpsc::Receiver<Lines>,
    dry_run: bool,
    now: OffsetDateTime,
) -> Result<Imported, ImportError> {
    let user = caller.user_id();
    let key = data_key::for_writing(journal, caller, now).await?;
    let mut incoming = Incoming {
        lines,
        file: File::new(now),
    };
    let entries = incoming.entries().await?;
    if entries.is_empty() {
        incoming.end()?;
        return Ok(Imported::default());
    }
    let batch = Batch { user, key, entries };
    let mut db = journal.pool.get_for_long().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let mut imported = fill(&transaction, batch, &mut incoming).await;
    if let (Ok(Imported { created, .. }), false) = (&imported, dry_run)
        && let Err(error) = store(&transaction, user, *created).await
    {
        imported = Err(error);
    }
    // Before the answer goes out: left to the connection, it would keep the person's next import out for a moment.
    let ended = if imported.is_ok() && !dry_run {
        transaction.commit().await
    } else {
        transaction.rollback().await
    };
    let imported = imported?;
    ended.map_err(Unexpected::from)?;
    Ok(imported)
}

/// Puts the entries of the file beside the journal, to its end.
async fn fill(
    transaction: &Transaction<'_>,
    first: Batch,
    incoming: &mut Incoming,
) -> Result<Imported, ImportError> {
    let (user, key) = (first.user, Arc::clone(&first.key));
    if !imports::claim(transaction, user).await? {
        return Err(ImportError::InProgress);
    }
    imports::prepare(transaction).await?;
    let (mut batch, mut imported) = (first, Imported::default());
    while !batch.entries.is_empty() {
        let taken = batch.take(transaction, &mut incoming.file).await?;
        imported.created += taken.created;
        imported.unchanged += taken.unchanged;
        batch = Batch {
            user,
            key: Arc::clone(&key),
            entries: incoming.entries().await?,
        };
    }
    incoming.end()?;
    Ok(imported)
}

async fn store(
    transaction: &Transaction<'_>,
    user: UserId,
    expected: u64,
) -> Result<(), ImportError> {
    // Closed while the file came: what is stored from here on would outlive nothing, but the answer would be untrue.
    let is_closed = closed_journals::is_closed(transaction, user).await?;
    let stored = imports::store(transaction, user).await?;
    if is_closed || (stored == 0 && expected > 0) {
        return Err(KeyError::Closed.into());
    }
    if stored != expected {
        return Err(Unexpected::bug("an id was taken that only an import can take").into());
    }
    Ok(())
}

/// The file as it comes.
struct Incoming {
    lines: mpsc::Receiver<Lines>,
    file: File,
}

impl Incoming {
    /// The next entries of which none is wrong in itself; none at the end of the file.
    async fn entries(&mut self) -> Result<Vec<(u64, Entry)>, ImportError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES && entries.len() < ENTRIES {
            if self.file.is_hopeless() {
                return Err(ImportError::Refused(self.file.end()));
            }
            let Some(lines) = self.lines.recv().await else {
                break;
            };
            for line in lines? {
                let Some((number, entry)) = self.file.take(line) else {
                    continue;
                };
                bytes += entry.content.text_bytes();
                entries.push((number, entry));
            }
        }
        Ok(entries)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        match self.file.end() {
            errors if errors.is_empty() => Ok(()),
            errors => Err(ImportError::Refused(errors)),
        }
    }
}

/// Some entries of the file, under the numbers of their lines.
struct Batch {
    user: UserId,
    key: Arc<DataKey>,
    entries: Vec<(u64, Entry)>,
}

impl Batch {
    /// Puts what is not there yet beside the journal, and refuses what is there and another.
    async fn take(
        self,
        transaction: &Transaction<'_>,
        file: &mut File,
    ) -> Result<Imported, ImportError> {
        let user = self.user;
        let (batch, mut rows) = blocking(move || self.sealed()).await?;
        let existing = imports::existing(transaction, user, &rows).await?;
        let pillars = pillars::ids(transaction, user).await?;
        let known = blocking(move || batch.compared(existing, &pillars)).await?;
        rows.retain(|row| !known.contains_key(&row.id.uuid()));
        let others = known.values().filter(|known| !known.is_same);
        for known in others.clone() {
            let message = "has the id of an entry that is there with other content";
            file.refuse(known.line, "exists", message);
        }
        if file.is_sound() {
            imports::put(transaction, user, &rows).await?;
        }
        Ok(Imported {
            created: counted(rows.len()),
            unchanged: counted(known.len() - others.count()),
        })
    }

    fn sealed(self) -> (Self, Vec<SealedEntry>) {
        let entries = self.entries.iter();
        let rows = entries.map(|(_, entry)| SealedEntry::seal(entry, self.user, &self.key));
        let rows = rows.collect();
        (self, rows)
    }

    /// One that does not open is another, too. Pillars that are not there count as little here as anywhere.
    fn compared(self, existing: Vec<Existing>, pillars: &[PillarId]) -> BTreeMap<Uuid, Known> {
        let mut existing: HashMap<_, _> = existing.into_iter().map(|it| (it.id, it.row)).collect();
        let mut known = BTreeMap::new();
        for (line, entry) in self.entries {
            let id = entry.id.uuid();
            if let Some(row) = existing.remove(&id) {
                let there = row.and_then(|row| open(&row, self.user, &self.key).ok());
                let shown = |entry: Entry| entry.with_pillars_among(pillars).content;
                let is_same = there.is_some_and(|there| shown(there) == shown(entry));
                known.insert(id, Known { line, is_same });
            }
        }
        known
    }
}

/// An entry of the file that is there already, under its line.
struct Known {
    line: u64,
    is_same: bool,
}

/// Milliseconds of cryptography: not on a thread that others wait for.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unexpected> {
    let done = spawn_blocking(work).await;
    done.map_err(|_| Unexpected::bug("sealing or comparing entries"))
}

fn counted(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
