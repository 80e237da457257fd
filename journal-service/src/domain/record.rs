//! The records that a journal is made of: what changes, exports and imports are about.

use time::{Date, macros::format_description};
use uuid::Uuid;

use super::{
    entry::Entry,
    pillar::{Pillar, PillarId},
    reflection::{self, Evening, Morning, Reflection, Slot, WeekNote, Written},
    score::Score,
    week::Week,
};

/// A closed set: each kind has a name in the changes of the database, in answers and in exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Pillar,
    /// There is one at most.
    PillarOrder,
    Score,
    Entry,
    Morning,
    Evening,
    WeekNote,
}

impl Kind {
    /// In the order in which they are exported: pillars come before what names them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Pillar,
        Self::PillarOrder,
        Self::Score,
        Self::Entry,
        Self::Morning,
        Self::Evening,
        Self::WeekNote,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pillar => "pillar",
            Self::PillarOrder => "pillar_order",
            Self::Score => "score",
            Self::Entry => "entry",
            Self::Morning => "morning",
            Self::Evening => "evening",
            Self::WeekNote => "week_note",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of a reflection, as its table names it.
    pub(crate) fn of_reflection(kind: reflection::Kind) -> Self {
        match kind {
            reflection::Kind::Morning => Self::Morning,
            reflection::Kind::Evening => Self::Evening,
            reflection::Kind::Week => Self::WeekNote,
        }
    }
}

/// Names a record of one person. What there is once for a day has the number of the day for its id.
pub(crate) type Key = (Kind, Uuid);

/// The key of what was written there.
pub(crate) fn key_of(slot: Slot) -> Key {
    let day = slot.date.to_julian_day().unsigned_abs();
    let id = Uuid::from_u128(u128::from(day));
    (Kind::of_reflection(slot.kind), id)
}

/// A record in the clear. Personal: no `Debug`.
pub(crate) enum Record {
    Pillar(Box<Pillar>),
    PillarOrder(Vec<PillarId>),
    Score(Box<Score>),
    Entry(Box<Entry>),
    Morning(Box<Reflection<Morning>>),
    Evening(Box<Reflection<Evening>>),
    WeekNote(Box<Reflection<WeekNote>>),
}

impl Record {
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Pillar(pillar) => (Kind::Pillar, pillar.id.uuid()),
            Self::PillarOrder(_) => (Kind::PillarOrder, Uuid::nil()),
            Self::Score(score) => (Kind::Score, score.id.uuid()),
            Self::Entry(entry) => (Kind::Entry, entry.id.uuid()),
            Self::Morning(feel) => key_of(feel.slot()),
            Self::Evening(feel) => key_of(feel.slot()),
            Self::WeekNote(note) => key_of(note.slot()),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.key().0
    }

    /// The same; an entry names only pillars that are there.
    #[must_use]
    pub(crate) fn with_pillars_among(self, known: &[PillarId]) -> Self {
        match self {
            Self::Entry(entry) => Self::Entry(Box::new(entry.with_pillars_among(known))),
            other => other,
        }
    }

    pub(crate) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    /// Whether the other one says the same, whenever it was written.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pillar(one), Self::Pillar(other)) => one.content == other.content,
            (Self::PillarOrder(one), Self::PillarOrder(other)) => one == other,
            (Self::Score(one), Self::Score(other)) => one.says() == other.says(),
            (Self::Entry(one), Self::Entry(other)) => one.content == other.content,
            (Self::Morning(one), Self::Morning(other)) => one.content == other.content,
            (Self::Evening(one), Self::Evening(other)) => one.content == other.content,
            (Self::WeekNote(one), Self::WeekNote(other)) => one.content == other.content,
            _ => false,
        }
    }

    /// How many bytes of text it has, as far as it can be long, for those that keep some of them in memory.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.content.text_bytes(),
            Self::Morning(feel) => feel.content.text_bytes(),
            Self::Evening(feel) => feel.content.text_bytes(),
            Self::WeekNote(note) => note.content.text_bytes(),
            Self::Score(score) => score.note.as_ref().map_or(0, String::len),
            Self::Pillar(_) | Self::PillarOrder(_) => 0,
        }
    }
}

/// Where a reflection is whose id the API writes so: a day, or a week.
pub(crate) fn slot_of(kind: Kind, id: &str) -> Option<Slot> {
    let day = || Date::parse(id, format_description!("[year]-[month]-[day]")).ok();
    let (kind, date) = match kind {
        Kind::Morning => (reflection::Kind::Morning, day()),
        Kind::Evening => (reflection::Kind::Evening, day()),
        Kind::WeekNote => (
            reflection::Kind::Week,
            Week::parse(id).ok().map(Week::monday),
        ),
        Kind::Pillar | Kind::PillarOrder | Kind::Score | Kind::Entry => return None,
    };
    date.map(|date| Slot { kind, date })
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_alone() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("Entry"), None);
    }

    #[test]
    fn what_is_written_once_for_a_day_or_a_week_is_found_by_that() {
        let found = |kind, id| slot_of(kind, id).map(|slot| (slot.kind, slot.date));
        let day = date!(2026 - 11 - 24);
        let monday = date!(2026 - 11 - 23);
        assert_eq!(
            found(Kind::Morning, "2026-11-24"),
            Some((reflection::Kind::Morning, day))
        );
        assert_eq!(
            found(Kind::Evening, "2026-11-24"),
            Some((reflection::Kind::Evening, day))
        );
        assert_eq!(
            found(Kind::WeekNote, "2026-W48"),
            Some((reflection::Kind::Week, monday))
        );
        for (kind, id) in [
            (Kind::WeekNote, "2026-11-24"),
            (Kind::Morning, "2026-W48"),
            (Kind::Entry, "2026-11-24"),
        ] {
            assert_eq!(found(kind, id), None, "{id}");
        }
    }
}
