//! `users restore`: a deletion is undone.

use shared::user_id::UserId;
use time::OffsetDateTime;

use super::{Outcome, UsersError, audit};
use crate::{Identity, erasure::undo};

/// Gives the account back its address, its key and its journal.
pub(super) async fn restore(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    undo(identity, user, now).await?;
    audit("restore", Some(user));
    Ok(Outcome::done(
        "The deletion is undone: the person can log in as before.",
    ))
}
