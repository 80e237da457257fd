//! `users require-reset`: a password that somebody else may know opens nothing any more.

use shared::problem::Unexpected;
use time::OffsetDateTime;

use super::{Outcome, UsersError, audit, find};
use crate::{
    Identity, chosen_password,
    device::Sighting,
    domain::event::Event,
    events,
    mail::Errand,
    outbox_key,
    store::{
        accounts, outbox,
        sessions::{self, EndReason},
    },
};

/// Voids the password, and by the epoch every session, challenge, known device and mailed token; and leaves the mail
/// to its owner, all of it or nothing.
pub(super) async fn require_reset(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let user = find(identity, who).await?;
    let hash = chosen_password::hash_of_none(identity, user).await?;
    let errand = Errand::ResetRequired { user_id: user };
    let message = errand.sealed(&outbox_key::opened(identity, now).await?, now);

    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // Sessions before the account, as everywhere, so that nobody waits in a circle.
    sessions::end_all(&transaction, user, EndReason::ResetRequired, now).await?;
    if !accounts::void_password(&transaction, user, &hash).await? {
        return Err(UsersError::UnknownUser);
    }
    let sighting = Sighting::by_an_operator(user);
    events::record(&transaction, &sighting, Event::PasswordResetRequired, now).await?;
    outbox::insert(&transaction, &message).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    audit("require-reset", Some(user));
    Ok(Outcome::done(
        "The password is void and the sessions are over. The owner is mailed a token to choose another password, \
         unless the account is disabled.",
    ))
}
