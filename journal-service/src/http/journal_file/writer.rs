//! A journal becomes a file.

use shared::problem::Unexpected;
use time::OffsetDateTime;

use super::{archive::Archive, line};
use crate::{
    domain::journal_file::{Counts, Item},
    http::export::ExportFormat,
};

/// A file without its end.
pub(in crate::http) enum Writer {
    Ndjson {
        /// What is to be sent before the next records.
        begin: String,
        counts: Counts,
    },
    Markdown(Archive),
}

impl Writer {
    pub(in crate::http) fn new(format: ExportFormat, now: OffsetDateTime) -> Self {
        match format {
            ExportFormat::Ndjson => Self::Ndjson {
                begin: line::header(now),
                counts: Counts::default(),
            },
            ExportFormat::Markdown => Self::Markdown(Archive::new()),
        }
    }

    /// Adds records and revisions: the bytes that are to be sent for them.
    pub(in crate::http) fn put(&mut self, items: Vec<Item>) -> Result<Vec<u8>, Unexpected> {
        match self {
            Self::Ndjson { begin, counts } => {
                let mut text = std::mem::take(begin);
                for item in items {
                    counts.add_item(&item);
                    text.push_str(&line::item(item));
                }
                Ok(text.into_bytes())
            }
            Self::Markdown(archive) => {
                for item in &items {
                    // Up to a hundred times as many documents, all of whose names the directory keeps in memory, are for nobody to read.
                    if let Item::Record(record) = item {
                        archive.put(record)?;
                    }
                }
                Ok(archive.take())
            }
        }
    }

    /// The last bytes.
    pub(in crate::http) fn end(self) -> Result<Vec<u8>, Unexpected> {
        match self {
            Self::Ndjson { begin, counts } => Ok((begin + &line::trailer(counts)).into_bytes()),
            Self::Markdown(archive) => archive.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::prelude::*;
    use time::{Date, macros::datetime};
    use tokio::{runtime::Builder, sync::mpsc};
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            amount::Amount,
            content::{Content, Draft},
            entry::{Entry, EntryId, Revision},
            journal_file::File,
            pillar::{Pillar, PillarContent, PillarDraft, PillarId},
            record::Record,
            reflection::{Evening, Morning, Reflection, WeekNote, Written},
            score::{Score, ScoreId},
        },
        http::journal_file::incoming,
    };

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    /// An entry that may be printed.
    #[derive(Clone, Debug)]
    struct Plain {
        id: u128,
        revision: i64,
        /// In microseconds.
        times: [i64; 2],
        date: Date,
        texts: [String; 2],
        mood: Option<u8>,
        tags: Vec<String>,
        pillars: Vec<Uuid>,
        completed: bool,
    }

    impl Plain {
        fn stamps(&self) -> (Revision, [OffsetDateTime; 2]) {
            let times = self.times.map(|micros| {
                let nanos = i128::from(micros) * 1_000;
                OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("a year from 1 to 2023")
            });
            (Revision::new(self.revision).expect("above zero"), times)
        }

        /// A record of each kind that says something of this.
        fn records(self) -> [Record; 6] {
            let (pillar, score) = (self.pillar(), self.score());
            let note = |most| Some(self.texts[1].chars().take(most).collect::<String>());
            let morning = self.reflection(Morning {
                mental_state: self.mood,
                strongest_emotion: note(500),
                avoiding: None,
                note: note(5_000),
            });
            let evening = self.reflection(Evening {
                energy_gave: None,
                energy_drained: note(500),
                pressure_or_purpose: note(500),
                note: None,
            });
            let mut week = self.reflection(WeekNote {
                note: note(5_000).unwrap_or_default(),
            });
            let days = i64::from(week.date.weekday().number_days_from_monday());
            // The first day of the year 1 is a Monday.
            week.date -= time::Duration::days(days);
            [
                Record::Pillar(Box::new(pillar)),
                Record::Score(Box::new(score)),
                Record::Morning(Box::new(morning)),
                Record::Evening(Box::new(evening)),
                Record::WeekNote(Box::new(week)),
                Record::Entry(Box::new(self.entry())),
            ]
        }

        fn reflection<C: Written>(&self, content: C) -> Reflection<C> {
            let (revision, [created_at, updated_at]) = self.stamps();
            Reflection {
                date: self.date,
                revision,
                created_at,
                updated_at,
                content,
            }
        }

        fn pillar(&self) -> Pillar {
            let (revision, [created_at, updated_at]) = self.stamps();
            let draft = PillarDraft {
                name: format!("{:.99}.", self.texts[0]),
                color: self.completed.then(|| "#3fA34d".to_owned()),
                icon: self.tags.first().map(|tag| format!("{tag:.32}")),
                target: Amount::of(f64::from(self.date.ordinal()) / 8.0),
                unit: None,
                archived: self.completed,
            };
            Pillar {
                id: PillarId::new(Uuid::from_u128(self.id)),
                revision,
                created_at,
                updated_at,
                content: PillarContent::parse(draft).expect("within the limits"),
            }
        }

        fn score(&self) -> Score {
            let (_, [created_at, _]) = self.stamps();
            Score {
                id: ScoreId::new(Uuid::from_u128(self.id)),
                pillar: PillarId::new(Uuid::from_u128(self.id)),
                date: self.date,
                created_at,
                value: Amount::of(f64::from(self.date.year()) / -8.0).expect("an amount"),
                note: Some(self.texts[0].clone()),
            }
        }

        fn entry(self) -> Entry {
            let (revision, [created_at, updated_at]) = self.stamps();
            let [title, body] = self.texts;
            let draft = Draft {
                date: self.date,
                title,
                body,
                mood: self.mood,
                tags: self.tags,
                pillar_ids: self.pillars.into_iter().map(PillarId::new).collect(),
                completed: self.completed,
            };
            Entry {
                id: EntryId::new(Uuid::from_u128(self.id)),
                revision,
                created_at,
                updated_at,
                content: Content::parse(draft).expect("within the limits"),
            }
        }
    }

    prop_compose! {
        fn entries()(
            (year, day) in (1..=9999i32, 1..=365u16),
            title in "(?s).{0,200}",
            body in prop_oneof![any::<String>(), "(?s).{0,400}", "[\\x00-\\x1f\"\\\\{}\n]{0,400}"],
            mood in prop::option::of(1..=10u8),
            tags in prop::collection::hash_set("(?s).{1,64}", 0..5),
            pillars in prop::collection::hash_set(any::<u128>(), 0..=20),
            completed in any::<bool>(),
            id in any::<u64>(),
            revision in 1..=9_007_199_254_740_991i64,
            created in -62_135_596_800_000_000i64..1_600_000_000_000_000,
            later in 0..100_000_000_000_000i64,
        ) -> Plain {
            Plain {
                id: 0x0198_c0de_0000_7000_8000_0000_0000_0000 | u128::from(id >> 2),
                revision,
                times: [created, created + later],
                date: Date::from_ordinal_date(year, day).expect("every year has these days"),
                texts: [title, body],
                mood,
                tags: tags.into_iter().collect(),
                pillars: pillars.into_iter().map(Uuid::from_u128).collect(),
                completed,
            }
        }
    }

    /// What is read from a file in pieces, as it would be stored.
    fn read(bytes: Vec<u8>) -> (Vec<Item>, usize) {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (sender, mut lines) = mpsc::channel(1);
            let reading = incoming::read(poem::Body::from(bytes), sender);
            let taking = async {
                let (mut file, mut items) = (File::new(NOW), Vec::new());
                while let Some(batch) = lines.recv().await {
                    for line in batch.expect("it arrives") {
                        items.extend(file.take(line).map(|(_, item)| item));
                    }
                }
                (items, file.end().len())
            };
            tokio::join!(reading, taking).1
        })
    }

    /// What that entry was before, twice when that can be.
    fn revisions_of(plain: &Plain) -> Vec<Item> {
        let mut earlier = Vec::new();
        for revision in [plain.revision - 1, plain.revision - 100] {
            if revision > 0 {
                let mut plain = Plain {
                    revision,
                    ..plain.clone()
                };
                plain.texts[0].clear();
                earlier.push(Item::Revision(Box::new(plain.entry())));
            }
        }
        earlier
    }

    fn written(items: Vec<Item>) -> Vec<u8> {
        let mut writer = Writer::new(ExportFormat::Ndjson, NOW);
        let mut bytes = writer.put(items).expect("memory takes it");
        bytes.extend(writer.end().expect("memory takes it"));
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            all in prop::collection::vec(entries(), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let order = all.iter().map(|it| PillarId::new(Uuid::from_u128(it.id)));
            let order: BTreeSet<_> = order.collect();
            let mut items = vec![Item::Record(Record::PillarOrder(order.into_iter().rev().collect()))];
            let mut seen = HashSet::new();
            for plain in all {
                let revisions = revisions_of(&plain);
                let mut is_new = false;
                for record in plain.records() {
                    is_new = seen.insert(record.key());
                    if is_new {
                        items.push(Item::Record(record));
                    }
                }
                // The entry is the last of them.
                if is_new {
                    items.extend(revisions);
                }
            }
            let bytes = written(items);
            let (first, errors) = read(bytes.clone());
            prop_assert_eq!(errors, 0);
            // Written once more it is the same to the byte, so nothing of it was lost.
            prop_assert_eq!(&written(first), &bytes);
            // A file that was cut anywhere before its last brace is never taken.
            let at = cut.index(bytes.len() - 1);
            prop_assert!(read(bytes[..at].to_vec()).1 > 0, "{}", at);
        }
    }
}
