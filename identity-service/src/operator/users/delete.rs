//! `users delete`: an account is deleted for somebody who cannot do it themselves.

use shared::problem::Unexpected;
use time::OffsetDateTime;

use super::{Outcome, UsersError, audit, find};
use crate::{
    Identity,
    device::Sighting,
    domain::event::Event,
    erasure, events,
    operator::table::moment,
    store::sessions::{self, EndReason},
};

/// Begins the deletion, as if the person had asked for it; running services do the rest.
pub(super) async fn delete(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let user = find(identity, who).await?;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // Sessions before the account, as everywhere.
    sessions::end_all(&transaction, user, EndReason::AccountDeleted, now).await?;
    let Some(begun) = erasure::begin(identity, &transaction, user, now).await? else {
        audit("delete", Some(user));
        return Ok(Outcome::done("The account is being deleted already."));
    };
    let sighting = Sighting::by_an_operator(user);
    events::record(&transaction, &sighting, Event::AccountDeleted, now).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    audit("delete", Some(user));
    let date = |at| moment(Some(at)).unwrap_or_default();
    Ok(Outcome::done(&format!(
        "The account is closed and its owner is told. Until {}, `users restore {user}` undoes it; by {} nothing is left \
         that could be opened, backups included.",
        date(begun.purge_at),
        date(begun.total_by),
    )))
}
