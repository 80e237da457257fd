//! What a request leaves in the outbox: what the worker needs to decide which mail to send, sealed.

use serde::{Deserialize, Serialize};
use shared::{random, user_id::UserId};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    domain::sealed::Column,
    outbox_key::Opened,
    store::outbox::{Content, Message, Sealed},
};

/// One errand. May hold an address: no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "snake_case")]
pub(crate) enum Errand {
    /// Somebody signed up.
    Signup { pending_id: Uuid },
    /// Somebody asks for the confirmation mail of this address again.
    Resend { email: String },
    /// Somebody forgot the password of the account of this address.
    ForgotPassword { email: String, network: String },
    /// Somebody who proved the password of an account, while it was of this epoch, wants this address for it.
    ChangeEmail {
        user_id: UserId,
        epoch: i64,
        email: String,
        network: String,
    },
    /// An account has another address now: for this one, from before.
    AddressChanged { email: String, network: String },
    /// An operator made the password of this account void.
    ResetRequired { user_id: UserId },
    /// An account is being deleted. Its address opens no more when this is decided, and comes along.
    AccountDeleted {
        email: String,
        #[serde(with = "time::serde::timestamp")]
        requested_at: OffsetDateTime,
        #[serde(with = "time::serde::timestamp")]
        purge_at: OffsetDateTime,
    },
}

impl Errand {
    /// The message for the outbox.
    pub(crate) fn sealed(&self, outbox: &Opened, now: OffsetDateTime) -> Message {
        let id = random::uuid_v7(now);
        let json = Zeroizing::new(serde_json::to_vec(self).expect("texts are always JSON"));
        Message {
            id,
            content: Content::Errand(outbox.seal(Column::OutboxMail, id, &json)),
            created_at: now,
        }
    }

    /// What [`Errand::sealed`] made for the message `id`; `None` when the row was changed.
    pub(crate) fn open(id: Uuid, sealed: &Sealed, outbox: &Opened) -> Option<Self> {
        let json = outbox.open(Column::OutboxMail, id, sealed)?;
        serde_json::from_slice(&json).ok()
    }
}
