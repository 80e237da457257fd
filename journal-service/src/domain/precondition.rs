//! `If-Match` (RFC 9110 §13.1.1): change an entry only if it is still the revision that was read.

use shared::problem::FieldError;

use super::entry::Revision;

/// Stands for the revision of what was not written yet; revisions count from 1.
const NOTHING: &str = "0";
const SEPARATORS: [char; 3] = [' ', '\t', ','];

/// What a client demands of the revision it is about to replace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Nothing: the last write wins.
    Any,
    /// Only that there is something.
    Something,
    /// One of these entity tags, without their quotes.
    OneOf(Vec<String>),
}

impl Precondition {
    /// Reads the header; one that was not sent demands nothing.
    pub(crate) fn parse(header: &str) -> Result<Self, FieldError> {
        let header = header.trim();
        if header == "*" {
            return Ok(Self::Something);
        }
        let wrong = "is not * or a list of entity tags such as \"3\"";
        read(header)
            .map(Self::OneOf)
            .ok_or_else(|| FieldError::new("header:If-Match", wrong))
    }

    /// Whether an entry at `current` may be changed.
    pub(crate) fn allows(&self, current: Revision) -> bool {
        match self {
            Self::Any | Self::Something => true,
            Self::OneOf(tags) => tags.contains(&current.to_string()),
        }
    }

    /// Whether something may be written where nothing is.
    pub(crate) fn allows_nothing(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Something => false,
            Self::OneOf(tags) => tags.iter().any(|tag| tag == NOTHING),
        }
    }
}

/// The entity tag of a revision.
pub(crate) fn entity_tag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// The entity tag of what is there, or of nothing.
pub(crate) fn entity_tag_or_none(revision: Option<Revision>) -> String {
    revision.map_or_else(|| format!("\"{NOTHING}\""), entity_tag)
}

/// At least one entity tag, in a list that may have empty places (RFC 9110 §5.6.1.2). Weak ones are left
/// out, because `If-Match` compares strongly (§8.8.3).
fn read(list: &str) -> Option<Vec<String>> {
    let (mut tags, mut found) = (Vec::new(), false);
    let mut rest = list.trim_start_matches(SEPARATORS);
    while !rest.is_empty() {
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        found = true;
        if !weak {
            tags.push(tag.to_owned());
        }
        let after = after.trim_start();
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        rest = after.trim_start_matches(SEPARATORS);
    }
    found.then_some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(header: &str) -> bool {
        let third = Revision::new(3).expect("above zero");
        Precondition::parse(header)
            .expect("it is well formed")
            .allows(third)
    }

    #[test]
    fn the_current_revision_matches_alone_in_a_list_or_as_a_star() {
        for header in [
            "\"3\"",
            " \"3\" ",
            "*",
            "\"1\", \"3\"",
            "W/\"3\",\"3\"",
            "\"a,b\" , \"3\"",
            ",\"3\",,",
        ] {
            assert!(allows(header), "{header}");
        }
    }

    #[test]
    fn another_revision_a_weak_tag_or_another_spelling_does_not_match() {
        for header in [
            "\"2\"",
            "W/\"3\"",
            "\"03\"",
            "\"+3\"",
            "\" 3\"",
            "\"\"",
            "\"3\u{e9}\"",
            "\"*\"",
        ] {
            assert!(!allows(header), "{header}");
        }
    }

    #[test]
    fn what_is_no_list_of_entity_tags_is_refused() {
        for header in [
            "",
            ",",
            "3",
            "\"3",
            "3\"",
            "\"3\" \"4\"",
            "\"3\"\"4\"",
            "w/\"3\"",
            "*, \"3\"",
            "\"3\";",
        ] {
            let error = Precondition::parse(header).expect_err(header);
            assert_eq!(error.pointer, "header:If-Match");
        }
    }

    #[test]
    fn nothing_is_replaced_without_a_demand_or_by_its_own_tag() {
        for (header, allowed) in [
            ("\"0\"", true),
            ("\"1\", \"0\"", true),
            ("\"1\"", false),
            ("*", false),
        ] {
            let precondition = Precondition::parse(header).expect("it is well formed");
            assert_eq!(precondition.allows_nothing(), allowed, "{header}");
        }
        assert!(Precondition::Any.allows_nothing());
        assert_eq!(entity_tag_or_none(None), "\"0\"");
        assert!(!allows("\"0\""));
    }

    #[test]
    fn a_revision_matches_its_own_entity_tag() {
        assert!(allows(&entity_tag(Revision::new(3).expect("above zero"))));
    }
}
