//! Puts failed logins into the trails of the accounts whose addresses they named, and forgets the others.

use std::sync::Arc;

use shared::{problem::Unexpected, serve::Shutdown};
use time::OffsetDateTime;

use super::goes_on;
use crate::{
    Identity,
    device::Sighting,
    domain::{email_address::EmailAddress, event::Event},
    events,
    failed_login::Trace,
    outbox_key::{self, Opened},
    store::{
        accounts,
        failed_logins::{self, FailedLogin},
    },
};

/// Works until the shutdown is requested; one that was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    let bell = &identity.login_failed;
    loop {
        let worked = one(&identity, identity.clock.now()).await;
        if !goes_on(worked, "failed logins wait", bell, &mut shutdown).await {
            return;
        }
    }
}

/// Takes one; `false` when there is none. It leaves its table in the transaction that puts it into the trail: of several
/// workers that see it, one does.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let outbox = outbox_key::opened(identity, now).await?;
    let oldest = failed_logins::oldest(&*identity.pool.get().await?).await?;
    let Some(failed) = oldest else {
        return Ok(false);
    };
    let meant = meant(identity, &failed, &outbox, now).await?;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    if failed_logins::take(&transaction, failed.id).await?
        && let Some(sighting) = meant
    {
        let (event, at) = (Event::LoginFailed, failed.created_at);
        events::record_as(&transaction, failed.id, &sighting, event, at).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// Who was meant by it; nobody when the address has no account, or the row was changed.
async fn meant(
    identity: &Identity,
    failed: &FailedLogin,
    outbox: &Opened,
    now: OffsetDateTime,
) -> Result<Option<Sighting>, Unexpected> {
    let Some(trace) = Trace::open(failed.id, &failed.sealed, outbox) else {
        tracing::error!(attempt.id = %failed.id, "a failed login was tampered with: it does not open");
        return Ok(None);
    };
    let Some(address) = EmailAddress::parse(&trace.email) else {
        return Ok(None);
    };
    let owner = {
        let indexes = identity.secrets.email_indexes(&address);
        accounts::credentials(&*identity.pool.get().await?, &indexes).await?
    };
    let Some(owner) = owner else {
        return Ok(None);
    };
    Ok(Some(
        Sighting::of(identity, owner.user_id, trace.device, now).await,
    ))
}
