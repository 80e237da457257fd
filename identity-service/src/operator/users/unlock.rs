//! `users unlock`: failed attempts are forgotten.

use shared::{problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Outcome, UsersError, account_of, audit};
use crate::{
    Identity,
    domain::lockout::Bucket,
    me,
    store::{accounts, lockouts, second_factors},
};

/// Whom the command is about. An address need not have an account: it can be locked all the same.
struct Somebody {
    identifier: Bucket,
    user_id: Option<UserId>,
}

/// Lets the next login, and the next code, be looked at.
pub(super) async fn unlock(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let Somebody {
        identifier,
        user_id,
    } = find(identity, who, now).await?;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let mut lifted = u64::from(lockouts::clear(&transaction, &identifier).await?);
    if let Some(user) = user_id {
        lifted += lockouts::clear_devices(&transaction, user).await?;
        lifted += second_factors::forget_failures(&transaction, user).await?;
    }
    transaction.commit().await.map_err(Unexpected::from)?;
    audit("unlock", user_id);
    Ok(Outcome::done(match lifted {
        0 => "No failed attempts were counted.",
        _ => "Failed attempts are forgotten: the next login is looked at.",
    }))
}

async fn find(identity: &Identity, who: &str, now: OffsetDateTime) -> Result<Somebody, UsersError> {
    let (address, user_id) = if let Ok(id) = Uuid::parse_str(who) {
        let user = UserId::new(id);
        let profile = accounts::profile_of_any(&*identity.pool.get().await?, user).await?;
        let profile = profile.ok_or(UsersError::UnknownUser)?;
        (me::address(identity, &profile, now).await?, Some(user))
    } else {
        (who.to_owned(), account_of(identity, who).await?)
    };
    Ok(Somebody {
        identifier: Bucket::identifier(&identity.secrets, &address),
        user_id,
    })
}
