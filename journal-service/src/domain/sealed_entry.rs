//! An entry as it lies in the database: three sealed columns, each bound to its person, entry, column and
//! revision, beside the few things that are in clear for sorting.
//!
//! The calendar day and the times are repeated inside the sealed details: whoever changes the clear ones
//! makes the entry unreadable, and cannot move it to another day.

use shared::{
    envelope::{DataKey, OpenError, RecordContext},
    user_id::UserId,
};
use thiserror::Error;
use time::{Date, OffsetDateTime};
use zeroize::Zeroizing;

use super::{
    content::{Content, Draft},
    details::Details,
    entry::{Entry, EntryId, Revision},
    sealed_json::{micros, padded},
};

/// The service whose data this is, in every context.
pub(super) const OWNER: &str = "journal";
const COLLECTION: &str = "entry";

/// A row of `entries`. Nothing in it tells what was written.
pub(crate) struct SealedEntry {
    pub(crate) id: EntryId,
    pub(crate) date: Date,
    pub(crate) revision: Revision,
    /// `None` when the stored one is none that a clock shows, and so none that this service wrote.
    pub(crate) created_at: Option<OffsetDateTime>,
    /// As `created_at`.
    pub(crate) updated_at: Option<OffsetDateTime>,
    pub(crate) title: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) details: Vec<u8>,
}

/// The sealed columns. A closed set: their names are part of what the ciphertext is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Title,
    Body,
    Details,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Body => "body",
            Self::Details => "details",
        }
    }
}

/// Why a row does not open, for the log. The person learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unopened {
    #[error("{0}: {1}")]
    Envelope(&'static str, OpenError),
    #[error("{0}: opened to something that is not what this service writes")]
    Foreign(&'static str),
    #[error("the day or a time in clear is not the sealed one")]
    Moved,
}

impl SealedEntry {
    /// Seals an entry under the person's data key.
    pub(crate) fn seal(entry: &Entry, user: UserId, key: &DataKey) -> Self {
        let content = entry.content.parts();
        let seal = |column: Column, text: &[u8]| {
            key.seal(&place(user, entry.id, entry.revision, column), text)
                .expect("the limits of content are below an envelope's")
        };
        Self {
            id: entry.id,
            date: content.date,
            revision: entry.revision,
            created_at: Some(entry.created_at),
            updated_at: Some(entry.updated_at),
            title: seal(Column::Title, content.title.as_bytes()),
            body: seal(Column::Body, content.body.as_bytes()),
            details: seal(Column::Details, &padded(&Details::of(entry))),
        }
    }

    /// The entry, when every column is the one that was sealed for this person, id and revision.
    pub(crate) fn open(&self, user: UserId, key: &DataKey) -> Result<Entry, Unopened> {
        let open = |column: Column, envelope: &[u8]| {
            key.open(&place(user, self.id, self.revision, column), envelope)
                .map_err(|cause| Unopened::Envelope(column.name(), cause))
        };
        let title = text(Column::Title, open(Column::Title, &self.title)?)?;
        let body = text(Column::Body, open(Column::Body, &self.body)?)?;
        let details = self.open_details(user, key)?;
        let pillar_ids = details.pillar_ids()?;
        let times = self.created_at.zip(self.updated_at);
        let (created_at, updated_at) = times.ok_or(Unopened::Moved)?;
        Ok(Entry {
            id: self.id,
            revision: self.revision,
            created_at,
            updated_at,
            content: Content::sealed_before(Draft {
                date: self.date,
                title,
                body,
                mood: details.mood,
                tags: details.tags,
                pillar_ids,
                completed: details.completed,
            }),
        })
    }

    /// Everything but title and body, which need not be there for it.
    pub(crate) fn open_details(&self, user: UserId, key: &DataKey) -> Result<Details, Unopened> {
        let place = place(user, self.id, self.revision, Column::Details);
        let json = key.open(&place, &self.details);
        let json = json.map_err(|cause| Unopened::Envelope(place.field, cause))?;
        let details: Details =
            serde_json::from_slice(&json).map_err(|_| Unopened::Foreign(place.field))?;
        let times = self.created_at.zip(self.updated_at);
        let (created_at, updated_at) = times.ok_or(Unopened::Moved)?;
        let clear = (
            self.date.to_julian_day(),
            micros(created_at),
            micros(updated_at),
        );
        if clear != (details.date, details.created_at, details.updated_at) {
            return Err(Unopened::Moved);
        }
        Ok(details)
    }
}

fn place(user: UserId, id: EntryId, revision: Revision, column: Column) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: COLLECTION,
        field: column.name(),
        record_id: id.uuid(),
        revision: revision.counted(),
    }
}

fn text(column: Column, mut bytes: Zeroizing<Vec<u8>>) -> Result<String, Unopened> {
    String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| Unopened::Foreign(column.name()))
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::{draft, pillars};
    use super::*;
    use proptest::prelude::*;
    use time::{Duration, macros::datetime};
    use uuid::Uuid;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn ada() -> UserId {
        UserId::new(Uuid::from_u128(1))
    }

    fn entry(draft: Draft) -> Entry {
        Entry::new(Content::parse(draft).expect("within the limits"), NOW)
    }

    fn sealed() -> (SealedEntry, DataKey) {
        let key = DataKey::generate(1);
        (SealedEntry::seal(&entry(draft()), ada(), &key), key)
    }

    fn refused(row: &SealedEntry, user: UserId, key: &DataKey) -> Unopened {
        row.open(user, key).err().expect("it must not open")
    }

    #[test]
    fn what_was_sealed_opens_for_its_person() {
        let (row, key) = sealed();
        let opened = row.open(ada(), &key).expect("it opens");
        assert!(*opened.content.parts() == draft());
        assert_eq!((opened.id, opened.revision), (row.id, Revision::FIRST));
    }

    #[test]
    fn a_row_of_another_person_entry_or_revision_does_not_open() {
        let (row, key) = sealed();
        refused(&row, UserId::new(Uuid::from_u128(2)), &key);
        refused(&row, ada(), &DataKey::generate(1));
        refused(
            &SealedEntry {
                id: EntryId::new(Uuid::from_u128(9)),
                ..sealed().0
            },
            ada(),
            &key,
        );
        refused(
            &SealedEntry {
                revision: Revision::FIRST.next(),
                ..row
            },
            ada(),
            &key,
        );
    }

    #[test]
    fn a_column_pasted_into_another_or_from_another_revision_does_not_open() {
        let key = DataKey::generate(1);
        let first = entry(draft());
        let content = Content::parse(draft()).expect("within the limits");
        let second = SealedEntry::seal(&first.edited(content, NOW), ada(), &key);
        let first = SealedEntry::seal(&first, ada(), &key);
        let copy = |row: &SealedEntry| SealedEntry {
            title: row.title.clone(),
            body: row.body.clone(),
            details: row.details.clone(),
            ..*row
        };
        for pasted in [
            SealedEntry {
                body: second.title.clone(),
                ..copy(&second)
            },
            SealedEntry {
                title: second.body.clone(),
                ..copy(&second)
            },
            SealedEntry {
                title: second.details.clone(),
                ..copy(&second)
            },
            SealedEntry {
                title: first.title.clone(),
                ..copy(&second)
            },
            SealedEntry {
                body: first.body.clone(),
                ..copy(&second)
            },
            SealedEntry {
                details: first.details.clone(),
                ..copy(&second)
            },
        ] {
            assert!(matches!(
                refused(&pasted, ada(), &key),
                Unopened::Envelope(..)
            ));
        }
        assert!(second.open(ada(), &key).is_ok());
    }

    #[test]
    fn the_day_and_the_times_in_clear_cannot_be_changed() {
        let (row, key) = sealed();
        let next_day = row.date.next_day().expect("it is not the last day");
        assert_eq!(
            refused(
                &SealedEntry {
                    date: next_day,
                    ..row
                },
                ada(),
                &key
            ),
            Unopened::Moved
        );
        for other in [
            Some(NOW + Duration::microseconds(1)),
            Some(NOW - Duration::days(1)),
            None,
        ] {
            let (row, key) = sealed();
            let moved = SealedEntry {
                created_at: other,
                ..row
            };
            assert_eq!(refused(&moved, ada(), &key), Unopened::Moved);
            let (row, key) = sealed();
            let moved = SealedEntry {
                updated_at: other,
                ..row
            };
            assert_eq!(refused(&moved, ada(), &key), Unopened::Moved);
        }
    }

    #[test]
    fn moods_tags_and_short_titles_do_not_show_in_a_size() {
        let sizes = |draft: Draft| {
            let row = SealedEntry::seal(&entry(draft), ada(), &DataKey::generate(1));
            (row.title.len(), row.body.len(), row.details.len())
        };
        let usual = sizes(draft());
        for other in [
            Draft {
                mood: Some(1),
                ..draft()
            },
            Draft {
                mood: Some(10),
                ..draft()
            },
            Draft {
                mood: None,
                ..draft()
            },
            Draft {
                completed: false,
                ..draft()
            },
            Draft {
                tags: Vec::new(),
                ..draft()
            },
            Draft {
                pillar_ids: Vec::new(),
                ..draft()
            },
            Draft {
                pillar_ids: pillars(3),
                ..draft()
            },
            Draft {
                tags: vec!["a longer tag than before".to_owned()],
                ..draft()
            },
            Draft {
                title: String::new(),
                ..draft()
            },
            Draft {
                title: "x".repeat(60),
                ..draft()
            },
            Draft {
                body: String::new(),
                ..draft()
            },
        ] {
            assert_eq!(sizes(other), usual);
        }
    }

    #[test]
    fn an_edit_is_never_older_than_what_it_replaces() {
        let content = || Content::parse(draft()).expect("within the limits");
        let first = Entry::new(content(), NOW);
        let edited = first.edited(content(), NOW - Duration::hours(1));
        assert_eq!((edited.created_at, edited.updated_at), (NOW, NOW));
        assert_eq!(edited.revision, Revision::FIRST.next());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(
            title in "\\PC{0,200}",
            body in any::<String>(),
            tags in prop::collection::hash_set("\\PC{1,64}", 0..32),
            mood in prop::option::of(1..=10u8),
            pillar_ids in (0..20u128).prop_map(pillars),
        ) {
            let key = DataKey::generate(1);
            let draft = || Draft {
                title: title.clone(),
                body: body.clone(),
                tags: tags.iter().cloned().collect(),
                mood,
                pillar_ids: pillar_ids.clone(),
                ..draft()
            };
            let opened = SealedEntry::seal(&entry(draft()), ada(), &key).open(ada(), &key);
            prop_assert!(*opened.expect("it opens").content.parts() == draft());
        }
    }
}
