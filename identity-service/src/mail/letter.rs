//! What a mail is about, before it is put into words.

use time::{OffsetDateTime, macros::format_description};

use crate::domain::notice::Notice;

/// What is written, and the secret that goes with it. May hold a token: no `Debug`.
#[derive(Clone, Copy)]
pub(crate) enum Letter<'a> {
    /// To an address that somebody signed up with.
    ConfirmAddress { token: &'a str },
    /// To the owner of an account whose address somebody signed up with.
    SomebodySignedUp,
    /// To the owner of an account who forgot its password.
    ResetPassword { token: &'a str },
    /// To an address that somebody wants for their account.
    ConfirmNewAddress { token: &'a str },
    /// To the owner of an account whose address somebody wants for theirs.
    AddressWanted,
    /// To the address that an account had before.
    AddressChanged,
    /// To the owner of an account whose password an operator made void.
    ResetRequired { token: &'a str },
    /// To whoever had an account until now; it can be brought back until that moment.
    AccountDeleted { until: OffsetDateTime },
    /// To the owner of an account, about what happened to it.
    Notice(Notice),
}

impl Letter<'_> {
    /// What the mails of an address are counted by. A stranger can ask for some kinds and not for others, and
    /// must not be able to use up what another kind needs.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::ConfirmAddress { .. } | Self::SomebodySignedUp => "sign_up",
            Self::ResetPassword { .. } => "password_reset",
            Self::ConfirmNewAddress { .. } | Self::AddressWanted => "address_change",
            Self::AddressChanged => "address_changed",
            Self::ResetRequired { .. } => "reset_required",
            Self::AccountDeleted { .. } => "account_deleted",
            Self::Notice(notice) => notice.name(),
        }
    }
}

/// When and from where it came to the mail: never anything that whoever caused it was free to write.
#[derive(Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) at: OffsetDateTime,
    pub(crate) network: Option<&'a str>,
}

impl Occasion<'_> {
    pub(super) fn moment(&self) -> String {
        minute(self.at)
    }
}

/// In UTC: where the reader is nobody knows.
pub(super) fn minute(moment: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    moment
        .format(&format)
        .expect("the format is of a date and a time")
}

/// A mail without its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) subject: &'static str,
    pub(crate) body: String,
}
