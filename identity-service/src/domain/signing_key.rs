//! The life of a key that signs access tokens: `next` → `active` → `retired` → gone.
//!
//! A key is published while it is `next`, a whole period before it signs anything, so that no verifier
//! meets a token whose key it has not seen; and it stays published while `retired` until the last token it
//! signed is over.

use time::{Duration, OffsetDateTime};

/// How long a key signs.
const PERIOD: Duration = Duration::days(30);
/// How long it stays published after that: the life of an access token four times over.
const RETIREMENT: Duration = Duration::hours(1);

/// Where a key is in its life, as the database spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    Next,
    Active,
    Retired,
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retired]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// Whether the active key has signed for its whole period.
pub(crate) fn is_due(activated_at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now - activated_at >= PERIOD
}

/// Until when a key that retired then stays published. It signs nothing in any case, so that for a time at the end of
/// the calendar, which only a changed row has, that end will do.
pub(crate) fn published_until(retired_at: OffsetDateTime) -> OffsetDateTime {
    retired_at.saturating_add(RETIREMENT)
}

/// Whether a key that retired then signed nothing that still counts.
pub(crate) fn is_over(retired_at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now >= published_until(retired_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_key_signs_for_thirty_days_and_is_published_longer_than_any_token_lives() {
        let start = datetime!(2026-11-24 08:00 UTC);
        assert!(!is_due(start, start + PERIOD - Duration::SECOND));
        assert!(is_due(start, start + PERIOD));
        assert!(RETIREMENT > crate::mint::ACCESS_LIFETIME);
        assert!(!is_over(start, start + RETIREMENT - Duration::SECOND));
        assert!(is_over(start, start + RETIREMENT));
    }

    #[test]
    fn a_key_that_retires_at_the_end_of_the_calendar_is_published_until_then() {
        let end = datetime!(9999-12-31 23:59:59.999999 UTC);
        assert!(published_until(end) >= end);
        assert!(!is_over(end, datetime!(2026-11-24 08:00 UTC)));
    }

    #[test]
    fn states_are_spelt_as_they_are_read() {
        for state in [KeyState::Next, KeyState::Active, KeyState::Retired] {
            assert_eq!(KeyState::from_name(state.name()), Some(state));
        }
        assert_eq!(KeyState::from_name("gone"), None);
    }
}
