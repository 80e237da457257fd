//! Where identity's sealed columns belong: a closed set, because it is what ciphertexts are bound to.

use shared::envelope::RecordContext;
use uuid::Uuid;

/// A sealed column. Its row's id is the record; nothing here is ever revised in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// `accounts.email_sealed`
    AccountEmail,
    /// `sessions.device_sealed`
    SessionDevice,
    /// `security_events.device_sealed`
    EventDevice,
    /// `pending_signups.sealed`
    PendingApplicant,
    /// `outbox.sealed`
    OutboxMail,
    /// `outbox.device_sealed`
    NoticeDevice,
    /// `signing_keys.sealed_seed`
    SigningSeed,
}

impl Column {
    /// The context of this column in the row `record_id`, sealed under the key of `subject`.
    pub(crate) fn of(self, subject: Uuid, record_id: Uuid) -> RecordContext {
        let (collection, field) = match self {
            Self::AccountEmail => ("account", "email"),
            Self::SessionDevice => ("session", "device"),
            Self::EventDevice => ("security_event", "device"),
            Self::PendingApplicant => ("pending", "applicant"),
            Self::OutboxMail => ("outbox", "mail"),
            Self::NoticeDevice => ("outbox", "device"),
            Self::SigningSeed => ("signing_key", "seed"),
        };
        RecordContext {
            owner: "identity",
            subject,
            collection,
            field,
            record_id,
            revision: 1,
        }
    }
}
