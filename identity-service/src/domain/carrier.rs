//! How the tokens of a session travel.

/// Chosen at login, for the life of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// In bodies and in `Authorization`: apps, and pages that keep tokens themselves.
    Body,
    /// In cookies that no script can read, with a CSRF token for the page.
    Cookies,
}
