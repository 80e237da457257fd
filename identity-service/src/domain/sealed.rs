//! Where identity's sealed columns belong: a closed set, because it is what ciphertexts are bound to.

use shared::envelope::RecordContext;
use uuid::Uuid;

/// A sealed column. Its row's id is the record. Nothing here is revised in place but `AccountEmail`, where bytes from
/// before would open as well: whoever opens it compares it with the index of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// `accounts.email_sealed`
    AccountEmail,
    /// `address_changes.email_sealed`
    NewAddress,
    /// `sessions.device_sealed`
    SessionDevice,
    /// `security_events.device_sealed`
    EventDevice,
    /// `totp_factors.secret_sealed`
    TotpSecret,
    /// `pending_signups.sealed`
    PendingApplicant,
    /// `outbox.sealed`
    OutboxMail,
    /// `failed_logins.sealed`
    FailedLogin,
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
            Self::NewAddress => ("address_change", "email"),
            Self::SessionDevice => ("session", "device"),
            Self::EventDevice => ("security_event", "device"),
            Self::TotpSecret => ("totp_factor", "secret"),
            Self::PendingApplicant => ("pending", "applicant"),
            Self::OutboxMail => ("outbox", "mail"),
            Self::FailedLogin => ("failed_login", "attempt"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use shared::envelope::DataKey;

    #[test]
    fn what_is_sealed_in_one_place_opens_in_no_other() {
        let columns = [
            Column::AccountEmail,
            Column::NewAddress,
            Column::SessionDevice,
            Column::EventDevice,
            Column::TotpSecret,
            Column::PendingApplicant,
            Column::OutboxMail,
            Column::FailedLogin,
            Column::NoticeDevice,
            Column::SigningSeed,
        ];
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let places: Vec<_> = columns
            .iter()
            .flat_map(|column| ids.map(|subject| ids.map(|record| column.of(subject, record))))
            .flatten()
            .collect();
        let key = DataKey::generate(1);
        for (at, place) in places.iter().enumerate() {
            let sealed = key.seal(place, b"text").expect("it is short");
            for (other, elsewhere) in places.iter().enumerate() {
                assert_eq!(
                    key.open(elsewhere, &sealed).is_ok(),
                    at == other,
                    "{at} {other}"
                );
            }
        }
    }
}
