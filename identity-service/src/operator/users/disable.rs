//! `users disable` and `users enable`: an account is closed to every path, and opened again.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;

use super::{Outcome, UsersError, audit, find};
use crate::{
    Identity,
    device::Sighting,
    domain::event::Event,
    events,
    store::{
        accounts,
        sessions::{self, EndReason},
    },
};

/// Ends every session, this moment's too, and lets nothing open another one.
pub(super) async fn disable(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let user = find(identity, who).await?;
    let closed = close(identity, user, now).await?;
    audit("disable", Some(user));
    Ok(Outcome::done(if closed {
        "The account is disabled and its sessions are over. Access tokens that services check without asking identity \
         count for 15 minutes at most."
    } else {
        "The account was disabled already."
    }))
}

async fn close(identity: &Identity, user: UserId, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    // Sessions before the account, as everywhere, so that nobody waits in a circle.
    sessions::end_all(&transaction, user, EndReason::Disabled, now).await?;
    if !accounts::disable(&transaction, user, now).await? {
        return Ok(false);
    }
    let sighting = Sighting::by_an_operator(user);
    events::record(&transaction, &sighting, Event::AccountDisabled, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Lets its owner log in again.
pub(super) async fn enable(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let user = find(identity, who).await?;
    let opened = open(identity, user, now).await?;
    audit("enable", Some(user));
    Ok(Outcome::done(if opened {
        "The account is enabled. Its owner has to log in anew."
    } else {
        "The account was enabled already, or is being deleted (see `users restore`)."
    }))
}

async fn open(identity: &Identity, user: UserId, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    if !accounts::enable(&transaction, user).await? {
        return Ok(false);
    }
    let sighting = Sighting::by_an_operator(user);
    events::record(&transaction, &sighting, Event::AccountEnabled, now).await?;
    transaction.commit().await?;
    Ok(true)
}
