//! Another service asks whether an access token counts right now (RFC 7662).

use secrecy::{ExposeSecret, SecretString};
use shared::{
    access_token::{Claims, Refused},
    problem::Unexpected,
};
use time::OffsetDateTime;

use crate::{Identity, store::sessions};

/// What the token says, if it is genuine and current and its session and account still go on.
///
/// `None` for everything else, refresh tokens included: no service but this one is ever to be shown one, and one
/// that took "active" for "let in" would take it for an access token.
pub(crate) async fn introspect(
    identity: &Identity,
    token: &SecretString,
    now: OffsetDateTime,
) -> Result<Option<Claims>, Unexpected> {
    let claims = match identity.verifier.verify(token.expose_secret(), now).await {
        Ok(claims) => claims,
        Err(Refused::KeysUnavailable(unexpected)) => return Err(unexpected),
        Err(Refused::Invalid | Refused::Expired | Refused::WrongType) => return Ok(None),
    };
    let db = identity.pool.get().await?;
    let alive = sessions::is_alive(&*db, claims.sid, claims.sub, now).await?;
    Ok(alive.then_some(claims))
}
