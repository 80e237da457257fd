//! The kinds of records that a journal is made of: what changes, exports and imports are about.

/// A closed set: each kind has a name in the changes of the database, in answers and in exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Entry,
}

impl Kind {
    /// In the order in which they are exported.
    pub(crate) const ALL: [Self; 1] = [Self::Entry];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_alone() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("Entry"), None);
    }
}
