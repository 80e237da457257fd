//! A login that failed, on its way into the trail of whoever has the address.
//!
//! Every failed login leaves the same row after the same work, whether or not there is an account; the worker finds out
//! behind the answer. Only what was compared leaves one: the lockout bounds how many there are of one address, and the
//! hashing pool how many there are at all. They wait apart from the mails, which a flood of them must not hold up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::{problem::Unexpected, random};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Identity,
    device::Device,
    domain::{email_address::EmailAddress, sealed::Column},
    outbox_key::{self, Opened},
    store::{
        failed_logins::{self, FailedLogin},
        outbox::Sealed,
    },
};

/// How long the answer waits for the vault before it goes without.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is sealed of it. Personal data: no `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Trace {
    /// The address as it was typed.
    pub(crate) email: String,
    pub(crate) device: Device,
}

impl Trace {
    /// What [`note`] left in that row; `None` when the row was changed.
    pub(crate) fn open(id: Uuid, sealed: &Sealed, outbox: &Opened) -> Option<Self> {
        let json = outbox.open(Column::FailedLogin, id, sealed)?;
        serde_json::from_slice(&json).ok()
    }

    fn sealed(&self, outbox: &Opened, now: OffsetDateTime) -> FailedLogin {
        let id = random::uuid_v7(now);
        let json = Zeroizing::new(serde_json::to_vec(self).expect("texts are always JSON"));
        FailedLogin {
            id,
            sealed: outbox.seal(Column::FailedLogin, id, &json),
            created_at: now,
        }
    }
}

/// Notes it for the worker. A vault or a database that is away does not change the answer: the trail has a gap then.
pub(crate) async fn note(
    identity: &Identity,
    address: &EmailAddress,
    device: Device,
    now: OffsetDateTime,
) {
    let trace = Trace {
        email: address.typed().to_owned(),
        device,
    };
    match timeout(PATIENCE, stored(identity, &trace, now)).await {
        Ok(Ok(())) => identity.login_failed.notify_one(),
        Ok(Err(error)) => {
            tracing::warn!(error = error.chain(), "a failed login is not noted");
        }
        Err(_) => tracing::warn!("a failed login is not noted: it takes too long"),
    }
}

async fn stored(identity: &Identity, trace: &Trace, now: OffsetDateTime) -> Result<(), Unexpected> {
    let outbox = outbox_key::opened(identity, now).await?;
    let failed = trace.sealed(&outbox, now);
    failed_logins::insert(&*identity.pool.get().await?, &failed).await
}
