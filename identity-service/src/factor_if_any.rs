//! The second factor, where the account has one: for what a stolen session and a stolen password together must not do.

use secrecy::SecretString;
use shared::user_id::UserId;
use time::OffsetDateTime;
use tokio_postgres::Transaction;

use crate::{
    Identity,
    device::Sighting,
    second_factor::{self, NotShown, Proof, Ready, Wanted},
    store::second_factors,
};

/// A second factor, when one was sent.
pub(crate) fn proof(
    code: Option<&SecretString>,
    recovery_code: Option<&SecretString>,
) -> Result<Option<Proof>, NotShown> {
    if code.is_none() && recovery_code.is_none() {
        return Ok(None);
    }
    Proof::parse(code, recovery_code).map(Some)
}

/// What somebody sends who has no second factor makes no difference. Asks the vault, so it comes before the
/// transaction.
pub(crate) async fn prepare(
    identity: &Identity,
    user: UserId,
    proof: Option<Proof>,
    now: OffsetDateTime,
) -> Result<Option<Ready>, NotShown> {
    let Some(proof) = proof else { return Ok(None) };
    match second_factor::prepare(identity, user, Wanted::Confirmed, proof, now).await {
        Ok(ready) => Ok(Some(ready)),
        Err(NotShown::Absent) => Ok(None),
        Err(why) => Err(why),
    }
}

/// The account's second factor, as it is in this transaction, has to have been shown.
/// [`conclude`](second_factor::conclude) ends the transaction, whatever came of it.
pub(crate) async fn show(
    identity: &Identity,
    transaction: &Transaction<'_>,
    ready: Option<&Ready>,
    sighting: &Sighting,
    now: OffsetDateTime,
) -> Result<(), NotShown> {
    let Some(ready) = ready else {
        let factor = second_factors::find_and_lock(transaction, sighting.user).await?;
        return if factor.is_some_and(|factor| factor.confirmed) {
            Err(NotShown::Required)
        } else {
            Ok(())
        };
    };
    match ready.show(identity, transaction, sighting, now).await {
        // Replaced or removed at this moment.
        Err(NotShown::Absent) => Err(NotShown::Required),
        shown => shown,
    }
}
