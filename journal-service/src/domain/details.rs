//! What an entry says beside its title and body, as it is sealed.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{entry::Entry, pillar::PillarId, sealed_entry::Unopened, sealed_json::micros};

/// Everything of an entry that is neither title nor body. Fields that later versions add get a default.
#[derive(Serialize, Deserialize)]
pub(crate) struct Details {
    /// Julian day number.
    pub(super) date: i32,
    /// Microseconds since the epoch.
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(crate) mood: Option<u8>,
    pub(crate) tags: Vec<String>,
    pub(crate) completed: bool,
    /// 16 bytes each, one after another, in base64: as short as can be, so that a few do not show in the size. Nothing in what
    /// was sealed before there were pillars.
    #[serde(default)]
    pillars: String,
}

impl Details {
    /// Of an entry that has nothing else.
    #[cfg(test)]
    pub(super) fn of_tags(tags: Vec<String>) -> Self {
        Self {
            date: 0,
            created_at: 0,
            updated_at: 0,
            mood: None,
            tags,
            completed: false,
            pillars: String::new(),
        }
    }

    pub(super) fn of(entry: &Entry) -> Self {
        let content = entry.content.parts();
        Self {
            date: content.date.to_julian_day(),
            created_at: micros(entry.created_at),
            updated_at: micros(entry.updated_at),
            mood: content.mood,
            tags: content.tags.clone(),
            completed: content.completed,
            pillars: written_pillars(&content.pillar_ids),
        }
    }

    /// Which pillars it names.
    pub(super) fn pillar_ids(&self) -> Result<Vec<PillarId>, Unopened> {
        read_pillars(&self.pillars).ok_or(Unopened::Foreign("details"))
    }
}

fn written_pillars(ids: &[PillarId]) -> String {
    let bytes: Vec<_> = ids.iter().flat_map(|id| *id.uuid().as_bytes()).collect();
    BASE64_STANDARD_NO_PAD.encode(bytes)
}

fn read_pillars(text: &str) -> Option<Vec<PillarId>> {
    let bytes = BASE64_STANDARD_NO_PAD.decode(text).ok()?;
    let (ids, rest) = bytes.as_chunks::<16>();
    let id = |bytes: &[u8; 16]| PillarId::new(Uuid::from_bytes(*bytes));
    rest.is_empty().then(|| ids.iter().map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_before_there_were_pillars_has_none() {
        let details =
            r#"{"date":1,"created_at":2,"updated_at":3,"mood":null,"tags":[],"completed":false}"#;
        let details: Details = serde_json::from_str(details).expect("it is still read");
        assert_eq!(details.pillar_ids().ok(), Some(Vec::new()));
        for foreign in ["A", "AAAA", "!!", "AAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(read_pillars(foreign).is_none(), "{foreign}");
        }
    }
}
