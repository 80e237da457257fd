//! Who waits behind a pending sign-up, and from where they came: sealed until the address is confirmed.

use serde::{Deserialize, Serialize};
use shared::problem::Unexpected;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::{email_address::EmailAddress, sealed::Column},
    mail::Occasion,
    outbox_key::Opened,
    store::pending_signups::Pending,
};

/// Personal data: no `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Applicant {
    /// The address as it was typed.
    email: String,
    /// The network of the sign-up itself: what its mail must show, whoever asks for the mail.
    network: String,
}

impl Applicant {
    pub(crate) fn new(address: &EmailAddress, network: String) -> Self {
        Self {
            email: address.typed().to_owned(),
            network,
        }
    }

    pub(crate) fn sealed(&self, outbox: &Opened, pending_id: Uuid) -> Vec<u8> {
        let json = Zeroizing::new(serde_json::to_vec(self).expect("texts are always JSON"));
        let place = Column::PendingApplicant.of(outbox.id, pending_id);
        outbox.key.seal(&place, &json).expect("an address is short")
    }

    pub(crate) fn open(pending: &Pending, outbox: &Opened) -> Result<Self, Unexpected> {
        let broken = || Unexpected::bug(format!("pending sign-up {} does not open", pending.id));
        if pending.service_key_id != outbox.id {
            return Err(broken());
        }
        let place = Column::PendingApplicant.of(outbox.id, pending.id);
        let json = outbox
            .key
            .open(&place, &pending.sealed)
            .map_err(|error| broken().caused_by(error))?;
        serde_json::from_slice(&json).map_err(|_| broken())
    }

    /// When and from where the sign-up came.
    pub(crate) fn occasion(&self, pending: &Pending) -> Occasion<'_> {
        Occasion {
            at: pending.created_at,
            network: Some(&self.network),
        }
    }

    pub(crate) fn address(&self) -> Result<EmailAddress, Unexpected> {
        EmailAddress::parse(&self.email)
            .ok_or_else(|| Unexpected::bug("the address of a pending sign-up is none"))
    }
}
