//! Forgets what is over: unconfirmed sign-ups after a day, unused resets and changes of address, sessions at their end,
//! failed attempts after minutes, security events after half a year, counts of mail that no longer limit any, second
//! factors that were not shown or not confirmed in time.

use std::{sync::Arc, time::Duration};

use shared::{problem::Unexpected, serve::Shutdown};
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::{
    Identity,
    confirm_totp::OFFERED,
    domain::event::TRAIL,
    store::{
        address_changes, failed_logins, lockouts, mail_allowances, mfa_challenges, password_resets,
        pending_signups, second_factors, security_events, sessions,
    },
};

const EVERY: Duration = Duration::from_mins(10);

/// Failed logins that no worker took up are of no use after that.
const UNSEEN: time::Duration = time::Duration::days(1);

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    loop {
        if let Err(error) = forget(&identity, identity.clock.now()).await {
            tracing::warn!(error = error.chain(), "what is over is not forgotten yet");
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = sleep(EVERY) => {}
        }
    }
}

async fn forget(identity: &Identity, now: OffsetDateTime) -> Result<(), Unexpected> {
    let db = identity.pool.get_for_long().await?;
    let signups = pending_signups::discard_expired(&*db, now).await?;
    let sessions = sessions::discard_expired(&*db, now).await?;
    let lockouts = lockouts::discard_expired(&*db, now).await?;
    let events = security_events::discard_before(&*db, now - TRAIL).await?;
    let resets = password_resets::discard_expired(&*db, now).await?;
    let failures = failed_logins::discard_before(&*db, now - UNSEEN).await?;
    let addresses = address_changes::discard_expired(&*db, now).await?;
    let allowances = mail_allowances::discard_refilled(&*db, now).await?;
    let challenges = mfa_challenges::discard_expired(&*db, now).await?;
    let offers = second_factors::discard_unconfirmed_before(&*db, now - OFFERED).await?;
    let forgotten = [
        signups, sessions, lockouts, events, resets, failures, addresses, allowances, challenges,
        offers,
    ];
    if forgotten.iter().any(|rows| *rows > 0) {
        tracing::info!(
            signups,
            sessions,
            lockouts,
            events,
            resets,
            failures,
            addresses,
            allowances,
            challenges,
            offers,
            "forgot what is over"
        );
    }
    Ok(())
}
