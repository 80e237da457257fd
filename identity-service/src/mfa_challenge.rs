//! A login whose password was right and whose second factor is still to be shown.

use secrecy::SecretString;
use shared::problem::Unexpected;
use time::{Duration, OffsetDateTime};

use crate::{
    Identity,
    domain::single_use_token::{Purpose, SingleUseToken},
    mint::{self, Proven, Withheld},
    store::mfa_challenges,
};

/// Long enough to find the telephone.
const LIFETIME: Duration = Duration::minutes(5);

/// What the device gets instead of a session.
pub(crate) struct Challenge {
    /// Not bound to the device's network: between password and code, telephones change from one to another.
    pub(crate) token: SecretString,
    pub(crate) expires_in: Duration,
}

/// Begins a challenge for a person who has proven their password.
pub(crate) async fn begin(
    identity: &Identity,
    proven: Proven,
    now: OffsetDateTime,
) -> Result<Challenge, Withheld> {
    let Proven {
        user_id,
        epoch,
        known_device,
        ..
    } = proven;
    let token = SingleUseToken::generate(Purpose::SecondFactor, user_id.uuid());
    let hash = token.hash(&identity.secrets);
    let challenge = mfa_challenges::Challenge {
        user_id,
        epoch,
        known_device,
    };
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    mint::good_standing(&transaction, user_id, epoch).await?;
    mfa_challenges::insert(&transaction, &hash, &challenge, now, now + LIFETIME).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    tracing::info!(user.id = %user_id, "a second factor is asked for");
    Ok(Challenge {
        token: token.into_secret(),
        expires_in: LIFETIME,
    })
}
