//! What can happen to an account that its person should be able to see.

/// One kind of security event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    LoggedIn,
    LoggedOut,
    /// Every session was ended at once.
    LoggedOutEverywhere,
    /// The person ended one session from another.
    SessionEnded,
    /// A refresh token older than its grace was presented: its session was ended.
    RefreshTokenReused,
}

impl Event {
    const ALL: [Self; 5] = [
        Self::LoggedIn,
        Self::LoggedOut,
        Self::LoggedOutEverywhere,
        Self::SessionEnded,
        Self::RefreshTokenReused,
    ];

    /// As the database and the log spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged_in",
            Self::LoggedOut => "logged_out",
            Self::LoggedOutEverywhere => "logged_out_everywhere",
            Self::SessionEnded => "session_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
        }
    }

    /// What [`Event::name`] gave; `None` for a kind that only a newer version knows.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}
