//! A journal out of a file: all of it or nothing.

mod refusals;

use std::{
    collections::{HashMap, HashSet},
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
use tokio::{sync::mpsc, try_join};
use tokio_postgres::Transaction;

use crate::{
    Journal,
    data_key::{self, KeyError},
    domain::{
        entry::EntryId,
        journal_file::{File, Item, Line},
        pillar::{PILLARS, PillarId},
        pillar_order::{SealedOrder, ordered},
        record::{Key, Kind, Record},
        sealed_entry::SealedEntry,
    },
    pillars::{open_order, revision_after},
    rows::{Row, Rows, blocking},
    slots::{Busy, Slot},
    store::{
        closed_journals, data_keys,
        imports::{self, Existing},
        pillar_orders, pillar_scores, pillars, reflections,
    },
};

pub(crate) use refusals::ImportError;

/// Bytes of text that are sealed and stored in one go; the first record always is taken.
const BYTES: usize = 1 << 20;
/// Records and revisions of them.
const ITEMS: usize = 500;

/// Some lines of the file, in their order, or why no more of it can be read.
pub(crate) type Lines = Result<Vec<Result<Line, Vec<FieldError>>>, BodyRefused>;

/// What an import has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Records that were not there.
    pub(crate) created: u64,
    /// Records that were there with the same content.
    pub(crate) unchanged: u64,
    /// What entries that were not there had been before their edits.
    pub(crate) revisions: u64,
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
    let key = data_key::for_writing(journal, caller, now).await?.key;
    let mut incoming = Incoming {
        lines,
        file: File::new(now),
    };
    let first = incoming.items().await?;
    if first.is_empty() {
        incoming.end()?;
        return Ok(Imported::default());
    }
    let mut filling = Filling {
        user,
        key,
        now,
        imported: Imported::default(),
        unchanged: HashSet::new(),
        pillars: Vec::new(),
        order: Vec::new(),
    };
    let mut db = journal.pool.get_for_long().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let mut filled = filling.fill(&transaction, first, &mut incoming).await;
    if filled.is_ok() && !dry_run {
        filled = filling.store(&transaction).await;
    }
    // Before the answer goes out: left to the connection, it would keep the person's next import out for a moment.
    let ended = if filled.is_ok() && !dry_run {
        transaction.commit().await
    } else {
        transaction.rollback().await
    };
    filled?;
    ended.map_err(Unexpected::from)?;
    Ok(filling.imported)
}

/// A journal beside the journal, as far as the file was read.
struct Filling {
    user: UserId,
    key: Arc<DataKey>,
    now: OffsetDateTime,
    imported: Imported,
    /// Entries that are there, and keep the revisions that they have.
    unchanged: HashSet<EntryId>,
    /// Those of the file that are not in the journal.
    pillars: Vec<PillarId>,
    /// How the file orders its pillars.
    order: Vec<PillarId>,
}

impl Filling {
    /// Puts the records of the file beside the journal, to its end.
    async fn fill(
        &mut self,
        transaction: &Transaction<'_>,
        first: Vec<(u64, Item)>,
        incoming: &mut Incoming,
    ) -> Result<(), ImportError> {
        if !imports::claim(transaction, self.user).await? {
            return Err(ImportError::InProgress);
        }
        imports::prepare(transaction).await?;
        let mut items = first;
        while !items.is_empty() {
            self.take(transaction, items, &mut incoming.file).await?;
            items = incoming.items().await?;
        }
        incoming.end()
    }

    /// Puts what is not there yet beside the journal, and refuses what is there and another.
    async fn take(
        &mut self,
        transaction: &Transaction<'_>,
        items: Vec<(u64, Item)>,
        file: &mut File,
    ) -> Result<(), ImportError> {
        let (user, key) = (self.user, Arc::clone(&self.key));
        let (batch, mut rows) = blocking(move || Batch::sealed(items, user, key)).await?;
        let existing = existing(transaction, user, &rows).await?;
        let mut there = pillars::ids(transaction, user).await?;
        self.admit_pillars(&batch, &existing, &there, file);
        // An entry names a pillar as soon as it is there.
        there.extend(&self.pillars);
        let known = blocking(move || batch.compared(existing, &there)).await?;
        let others = known.values().filter(|known| !known.is_same);
        let mut others: Vec<_> = others.map(|known| known.line).collect();
        others.sort_unstable();
        self.imported.unchanged += counted(known.len() - others.len());
        for line in others {
            file.refuse(line, "exists", "is there already, with other content");
        }
        rows.retain(|key| !known.contains_key(&key));
        self.imported.created += counted(rows.len());
        let entries = known.keys().filter(|(kind, _)| *kind == Kind::Entry);
        self.unchanged
            .extend(entries.map(|(_, id)| EntryId::new(*id)));
        rows.revisions.retain(|it| !self.unchanged.contains(&it.id));
        self.imported.revisions += counted(rows.revisions.len());
        if file.is_sound() {
            imports::put_pillars(transaction, user, &rows.pillars).await?;
            imports::put_scores(transaction, user, &rows.scores).await?;
            imports::put_entries(transaction, user, &rows.entries).await?;
            imports::put_revisions(transaction, user, &rows.revisions).await?;
            imports::put_reflections(transaction, user, &rows.reflections).await?;
        }
        Ok(())
    }

    /// Which pillars come, whether there is room for them, and whether every score has one.
    fn admit_pillars(
        &mut self,
        batch: &Batch,
        existing: &[Found],
        there: &[PillarId],
        file: &mut File,
    ) {
        let is_there = |key| existing.iter().any(|found| found.key == key);
        for (line, record) in &batch.records {
            match record {
                Record::Pillar(pillar) if !is_there(record.key()) => {
                    self.pillars.push(pillar.id);
                    if there.len() + self.pillars.len() > PILLARS {
                        let message = "is the 201st pillar of the journal, or a further one";
                        file.refuse(*line, "too_many_pillars", message);
                    }
                }
                Record::PillarOrder(ids) => self.order.clone_from(ids),
                Record::Score(score) => {
                    let id = &score.pillar;
                    if !there.contains(id) && !self.pillars.contains(id) {
                        let message =
                            "is of a pillar of no earlier line, and of none that is there";
                        file.refuse(*line, "unknown_pillar", message);
                    }
                }
                _ => {}
            }
        }
    }

    /// Makes all of it records of the journal, the new pillars behind those that were there, as the file orders them.
    async fn store(&self, transaction: &Transaction<'_>) -> Result<(), ImportError> {
        let user = self.user;
        // Closed while the file came: what is stored from here on would outlive nothing, but the answer would be untrue.
        if closed_journals::is_closed(transaction, user).await?
            || !data_keys::hold(transaction, user).await?
        {
            return Err(KeyError::Closed.into());
        }
        // Before anything is stored, so that nobody who deletes one waits for this while this waits for them.
        let there = pillars::keep(transaction, user).await?;
        if there.len() + self.pillars.len() > PILLARS {
            return Err(ImportError::Changed);
        }
        if imports::store(transaction, user).await? != self.imported.created {
            return Err(ImportError::Changed);
        }
        if imports::store_revisions(transaction, user).await? != self.imported.revisions {
            return Err(ImportError::Changed);
        }
        if self.pillars.is_empty() {
            return Ok(());
        }
        let before = pillar_orders::find(transaction, user).await?;
        let known = open_order(before.as_ref(), user, &self.key);
        let revision = revision_after(before.as_ref(), &known);
        let mut order = ordered(there, &known.unwrap_or_default());
        order.extend(ordered(self.pillars.clone(), &self.order));
        let sealed = SealedOrder::seal(&order, revision, self.now, user, &self.key);
        Ok(pillar_orders::replace(transaction, user, &sealed).await?)
    }
}

/// The file as it comes.
struct Incoming {
    lines: mpsc::Receiver<Lines>,
    file: File,
}

impl Incoming {
    /// What comes next, and is not wrong in itself; nothing at the end of the file.
    async fn items(&mut self) -> Result<Vec<(u64, Item)>, ImportError> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES && items.len() < ITEMS {
            if self.file.is_hopeless() {
                return Err(ImportError::Refused(self.file.end()));
            }
            let Some(lines) = self.lines.recv().await else {
                break;
            };
            for line in lines? {
                let Some((number, item)) = self.file.take(line) else {
                    continue;
                };
                bytes += item.text_bytes();
                items.push((number, item));
            }
        }
        Ok(items)
    }

    fn end(&mut self) -> Result<(), ImportError> {
        match self.file.end() {
            errors if errors.is_empty() => Ok(()),
            errors => Err(ImportError::Refused(errors)),
        }
    }
}

/// Some records of the file, under the numbers of their lines.
struct Batch {
    user: UserId,
    key: Arc<DataKey>,
    records: Vec<(u64, Record)>,
}

/// A record that is there and has the id of one of the file.
struct Found {
    key: Key,
    /// `None` when it is longer or shorter than that one, and so another.
    row: Option<Row>,
}

impl Batch {
    fn sealed(items: Vec<(u64, Item)>, user: UserId, key: Arc<DataKey>) -> (Self, Rows) {
        let (mut rows, mut records) = (Rows::default(), Vec::new());
        for (line, item) in items {
            match item {
                Item::Record(record) => {
                    rows.add(&record, user, &key);
                    records.push((line, record));
                }
                Item::Revision(entry) => {
                    rows.revisions.push(SealedEntry::seal(&entry, user, &key));
                }
            }
        }
        (Self { user, key, records }, rows)
    }

    /// One that does not open is another, too. Pillars that are not there count as little here as anywhere.
    fn compared(self, existing: Vec<Found>, pillars: &[PillarId]) -> HashMap<Key, Known> {
        let mut existing: HashMap<_, _> = existing.into_iter().map(|it| (it.key, it.row)).collect();
        let mut known = HashMap::new();
        for (line, record) in self.records {
            if let Some(row) = existing.remove(&record.key()) {
                let there = row.and_then(|row| row.open(self.user, &self.key).ok());
                let (key, shown) = (record.key(), record.with_pillars_among(pillars));
                let there = there.map(|there| there.with_pillars_among(pillars));
                let is_same = there.is_some_and(|there| there.says_the_same_as(&shown));
                known.insert(key, Known { line, is_same });
            }
        }
        known
    }
}

/// A record of the file that is there already, under its line.
struct Known {
    line: u64,
    is_same: bool,
}

/// What is there of these rows.
async fn existing(
    transaction: &Transaction<'_>,
    user: UserId,
    rows: &Rows,
) -> Result<Vec<Found>, Unexpected> {
    let pillars: Vec<_> = rows.pillars.iter().map(|row| row.id.uuid()).collect();
    let scores: Vec<_> = rows.scores.iter().map(|row| row.id.uuid()).collect();
    let slots: Vec<_> = rows.reflections.iter().map(|row| row.slot).collect();
    let (entries, pillars, scores, reflections) = try_join!(
        imports::existing_entries(transaction, user, &rows.entries),
        pillars::named_rows(transaction, user, &pillars),
        pillar_scores::named_rows(transaction, user, &scores),
        reflections::named_rows(transaction, user, &slots),
    )?;
    let entries = entries.into_iter().map(|Existing { id, row }| Found {
        key: (Kind::Entry, id),
        row: row.map(Row::Entry),
    });
    let others = pillars.into_iter().map(Row::Pillar);
    let others = others.chain(scores.into_iter().map(Row::Score));
    let others = others.chain(reflections.into_iter().map(Row::Reflection));
    let others = others.map(|row| Found {
        key: row.key(),
        row: Some(row),
    });
    Ok(entries.chain(others).collect())
}

fn counted(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
