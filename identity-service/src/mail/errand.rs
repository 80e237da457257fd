//! What a request leaves in the outbox: everything the worker needs to decide, sealed.

use serde::{Deserialize, Serialize};
use shared::random;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    domain::{email_address::EmailAddress, mail_token::MailToken, sealed::Column},
    outbox_key::Opened,
    store::outbox::Message,
};

/// One errand. Holds an address and a token: no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "snake_case")]
pub(crate) enum Errand {
    /// Somebody signed up with this address.
    Signup {
        email: String,
        token: String,
        network: String,
    },
    /// Somebody asks for the confirmation mail again.
    Resend { email: String, network: String },
}

impl Errand {
    pub(crate) fn signup(address: &EmailAddress, token: &MailToken, network: String) -> Self {
        Self::Signup {
            email: address.typed().to_owned(),
            token: token.expose().to_owned(),
            network,
        }
    }

    pub(crate) fn resend(address: &EmailAddress, network: String) -> Self {
        Self::Resend {
            email: address.typed().to_owned(),
            network,
        }
    }

    /// The row for the outbox.
    pub(crate) fn sealed(&self, outbox: &Opened, now: OffsetDateTime) -> Message {
        let id = random::uuid_v7(now);
        let json = Zeroizing::new(serde_json::to_vec(self).expect("texts are always JSON"));
        let place = Column::OutboxMail.of(outbox.id, id);
        Message {
            id,
            sealed: outbox.key.seal(&place, &json).expect("an errand is short"),
            service_key_id: outbox.id,
            created_at: now,
        }
    }

    /// What [`Errand::sealed`] made; `None` when the row was changed.
    pub(crate) fn open(message: &Message, outbox: &Opened) -> Option<Self> {
        if message.service_key_id != outbox.id {
            return None;
        }
        let place = Column::OutboxMail.of(outbox.id, message.id);
        let json = outbox.key.open(&place, &message.sealed).ok()?;
        serde_json::from_slice(&json).ok()
    }
}
