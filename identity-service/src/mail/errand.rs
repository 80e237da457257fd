//! What a request leaves in the outbox: what the worker needs to decide which mail to send, sealed.

use serde::{Deserialize, Serialize};
use shared::random;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{domain::sealed::Column, outbox_key::Opened, store::outbox::Message};

/// One errand. May hold an address: no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "snake_case")]
pub(crate) enum Errand {
    /// Somebody signed up.
    Signup { pending_id: Uuid },
    /// Somebody asks for the confirmation mail of this address again.
    Resend { email: String },
}

impl Errand {
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
