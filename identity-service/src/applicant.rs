//! Who waits behind a pending sign-up, and from where they came: sealed until the address is confirmed.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::{email_address::EmailAddress, sealed::Column},
    mail::Occasion,
    outbox_key::Opened,
    store::pending_signups::Pending,
};

/// Personal data: no `Debug`.
pub(crate) struct Applicant {
    pub(crate) address: EmailAddress,
    /// The network of the sign-up itself: what its mail must show, whoever asks for the mail.
    pub(crate) network: String,
}

/// What is sealed of it.
#[derive(Serialize, Deserialize)]
struct Text {
    /// The address as it was typed.
    email: String,
    network: String,
}

impl Applicant {
    pub(crate) fn sealed(&self, outbox: &Opened, pending_id: Uuid) -> Vec<u8> {
        let text = Text {
            email: self.address.typed().to_owned(),
            network: self.network.clone(),
        };
        let json = Zeroizing::new(serde_json::to_vec(&text).expect("texts are always JSON"));
        let place = Column::PendingApplicant.of(outbox.id, pending_id);
        outbox.key.seal(&place, &json).expect("an address is short")
    }

    /// `None` when the row was changed, which is logged here: it is nothing that a client can do something about,
    /// so every caller goes on as if there were no such sign-up.
    pub(crate) fn open(pending: &Pending, outbox: &Opened) -> Option<Self> {
        let opened = Self::opened(pending, outbox);
        if opened.is_none() {
            tracing::error!(pending.id = %pending.id, "a pending sign-up was tampered with: it does not open");
        }
        opened
    }

    /// When and from where the sign-up came.
    pub(crate) fn occasion(&self, pending: &Pending) -> Occasion<'_> {
        Occasion {
            at: pending.created_at,
            network: Some(&self.network),
        }
    }

    fn opened(pending: &Pending, outbox: &Opened) -> Option<Self> {
        if pending.service_key_id != outbox.id {
            return None;
        }
        let place = Column::PendingApplicant.of(outbox.id, pending.id);
        let json = outbox.key.open(&place, &pending.sealed).ok()?;
        let text: Text = serde_json::from_slice(&json).ok()?;
        Some(Self {
            address: EmailAddress::parse(&text.email)?,
            network: text.network,
        })
    }
}
