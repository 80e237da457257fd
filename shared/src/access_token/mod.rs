//! A person's access token (RFC 9068 `at+jwt`): its claims, its verification anywhere, and the security
//! scheme that handlers ask for. Signing is identity's alone.

mod caller;
mod keys;

use std::sync::Arc;

use jsonwebtoken::decode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    clock::Clock,
    jws::{Misfit, key_name, signature_only},
    problem::Unexpected,
    serve::AllowedOrigins,
    settings::{Reader, http_url, text},
    user_id::UserId,
};

pub use caller::{
    ACCESS_COOKIE, BEARER, CROSS_SITE, CSRF_HEADER, Caller, CallerRejected, EXPIRED, INVALID,
    SCHEMES, cookie, csrf_claim,
};
pub(crate) use caller::{COOKIE, CSRF};
use keys::Keys;
pub use keys::{KeySet, UnusableSet};

/// The `typ` of access tokens (RFC 9068 §2.1): no other signed thing of Keystead carries it.
pub const TYPE: &str = "at+jwt";
/// Longer tokens are refused unread; ours are below 700 bytes.
const LONGEST: usize = 4096;
/// How far `iat` may lie ahead, for machines whose clocks differ.
const SKEW: Duration = Duration::seconds(30);

/// What an access token says (RFC 9068 §2.2). Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The identity service that signed it.
    pub iss: String,
    /// The platform it is for.
    pub aud: String,
    /// The person.
    pub sub: UserId,
    /// The session it belongs to.
    pub sid: Uuid,
    /// The token itself.
    pub jti: Uuid,
    /// When it was minted.
    pub iat: i64,
    /// When it ends; 15 minutes later.
    pub exp: i64,
    /// When the person last proved who they are.
    pub auth_time: i64,
    /// How: `pwd`, `otp` (RFC 8176).
    pub amr: Vec<String>,
    /// From when it counts, when a signer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// In the token of a browser session: what [`csrf_claim`] makes of the session's CSRF token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
}

/// Why a token was refused.
#[derive(Debug, Error)]
pub enum Refused {
    /// Not a token, not ours, not for us, or changed.
    #[error("The access token is invalid.")]
    Invalid,
    /// Ours, and over.
    #[error("The access token has expired.")]
    Expired,
    /// Another kind of token in the place of an access token.
    #[error("This is not an access token.")]
    WrongType,
    /// The signer's keys could not be fetched yet, so nothing can be said about the token.
    #[error("Access tokens cannot be verified at the moment.")]
    KeysUnavailable(#[from] Unexpected),
}

/// Whose access tokens a service takes.
pub struct VerifierSettings {
    issuer: String,
    audience: String,
    jwks_url: String,
}

impl VerifierSettings {
    /// Reads `ISSUER`, `AUDIENCE` and `IDENTITY_JWKS_URL`.
    pub fn read(env: &mut Reader<'_>) -> Option<Self> {
        let issuer = env.required("ISSUER", http_url);
        let audience = env.or("AUDIENCE", "keystead", text);
        let jwks_url = env.required("IDENTITY_JWKS_URL", http_url);
        Some(Self {
            issuer: issuer?,
            audience: audience?,
            jwks_url: jwks_url?,
        })
    }

    /// A verifier that fetches the keys by itself.
    pub fn verifier(&self, clock: &Clock) -> Verifier {
        Verifier::remote(&self.issuer, &self.audience, &self.jwks_url, clock)
    }
}

impl From<Misfit> for Refused {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Invalid => Self::Invalid,
            Misfit::WrongType => Self::WrongType,
        }
    }
}

/// Verifies access tokens of one issuer for one audience, locally.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: Keys,
}

impl Verifier {
    /// A verifier that is handed its keys with [`Verifier::replace_keys`]: identity's own.
    pub fn local(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys: Keys::local(),
        }
    }

    /// A verifier that fetches the keys from `url` when it first needs them, when a token names a key it
    /// does not know (at most every ten seconds), and every half minute.
    pub fn remote(issuer: &str, audience: &str, url: &str, clock: &Clock) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys: Keys::remote(url, clock),
        }
    }

    /// Sets the keys of a local verifier.
    pub fn replace_keys(&self, keys: KeySet) {
        self.keys.replace(Some(keys));
    }

    /// Takes all keys from a local verifier: it can say nothing about any token until it has others.
    pub fn forget_keys(&self) {
        self.keys.replace(None);
    }

    /// Fetches the keys of a remote verifier anew, and says how many there are; a local one has those it was given.
    /// For a look at whether they can be had: [`Verifier::verify`] fetches by itself.
    pub async fn fetch_keys(&self) -> Result<usize, Unexpected> {
        self.keys.fetch().await
    }

    /// The claims of a token that is genuine, ours, for us and current at `now`.
    ///
    /// Algorithm, `typ`, issuer and audience are pinned here; the token's own header only names a key
    /// among those we already trust (RFC 8725 §3.1, §3.10, §3.11).
    pub async fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Claims, Refused> {
        let kid = key_name(token, TYPE, LONGEST)?;
        let key = self.keys.find(&kid).await?.ok_or(Refused::Invalid)?;
        let claims: Claims = decode(token, &key, &signature_only())
            .map_err(|_| Refused::Invalid)?
            .claims;
        self.check(&claims, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, now: OffsetDateTime) -> Result<(), Refused> {
        let latest_start = (now + SKEW).unix_timestamp();
        let early = claims.iat > latest_start || claims.nbf.is_some_and(|from| from > latest_start);
        if claims.iss != self.issuer || claims.aud != self.audience || early {
            return Err(Refused::Invalid);
        }
        if claims.exp <= now.unix_timestamp() {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

/// What the HTTP layer of a service puts into its request data so that [`Caller`] can work.
#[derive(Clone)]
pub struct Verification {
    /// The verifier.
    pub verifier: Arc<Verifier>,
    /// The service's clock.
    pub clock: Clock,
    /// The frontends whose pages may act with a person's cookies.
    pub origins: AllowedOrigins,
}
