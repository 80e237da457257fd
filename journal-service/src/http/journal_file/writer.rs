//! A journal becomes a file.

use shared::problem::Unexpected;
use time::OffsetDateTime;

use super::{archive::Archive, line};
use crate::{
    domain::{entry::Entry, record::Kind, restored::Counts},
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

    /// Adds entries: the bytes that are to be sent for them.
    pub(in crate::http) fn put(&mut self, entries: Vec<Entry>) -> Result<Vec<u8>, Unexpected> {
        match self {
            Self::Ndjson { begin, counts } => {
                let mut text = std::mem::take(begin);
                for entry in entries {
                    counts.add(Kind::Entry, 1);
                    text.push_str(&line::entry(entry));
                }
                Ok(text.into_bytes())
            }
            Self::Markdown(archive) => {
                for entry in &entries {
                    archive.put(entry)?;
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use time::{Date, macros::datetime};
    use tokio::{runtime::Builder, sync::mpsc};
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{
            content::{Content, Draft},
            entry::{EntryId, Revision},
            pillar::PillarId,
            restored::File,
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
        fn entry(self) -> Entry {
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
            let [created_at, updated_at] = self.times.map(|micros| {
                let nanos = i128::from(micros) * 1_000;
                OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("a year from 1 to 2023")
            });
            Entry {
                id: EntryId::new(Uuid::from_u128(self.id)),
                revision: Revision::new(self.revision).expect("above zero"),
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
    fn read(bytes: Vec<u8>) -> (Vec<Entry>, usize) {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (sender, mut lines) = mpsc::channel(1);
            let reading = incoming::read(poem::Body::from(bytes), sender);
            let taking = async {
                let (mut file, mut entries) = (File::new(NOW), Vec::new());
                while let Some(batch) = lines.recv().await {
                    for line in batch.expect("it arrives") {
                        entries.extend(file.take(line).map(|(_, entry)| entry));
                    }
                }
                (entries, file.end().len())
            };
            tokio::join!(reading, taking).1
        })
    }

    fn written(entries: Vec<Entry>) -> Vec<u8> {
        let mut writer = Writer::new(ExportFormat::Ndjson, NOW);
        let mut bytes = writer.put(entries).expect("memory takes it");
        bytes.extend(writer.end().expect("memory takes it"));
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(
            all in prop::collection::vec(entries(), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let all: BTreeMap<_, _> = all.into_iter().map(|it| (it.id, it)).collect();
            let all = all.into_values().map(Plain::entry).collect();
            let bytes = written(all);
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
