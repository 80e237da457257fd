//! Who calls whom: short-lived tokens that one service signs with its own Ed25519 key for one other.
//!
//! No secret is shared by two services: each is configured with the public keys it trusts.
//!
//! A token lets its holder do, for a minute, whatever its service may do at its audience. What cannot be undone
//! takes a token that is bound to the one request it comes with, and is good once.

mod bound;

pub use bound::{
    BodyDigest, BoundToken, NOT_BOUND, NotSpent, OTHER_REQUEST, Operation, SPENT, forget_spent,
};

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, decode, encode};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    jwk::{Jwk, JwkSet},
    jws::{Misfit, key_name, signature_only},
    problem::{Case, WRONG_TOKEN_TYPE},
    random,
};

/// The `typ` of service tokens: an access token is never one.
pub const TYPE: &str = "svc+jwt";
/// How long a token lives.
const LIFETIME: Duration = Duration::seconds(60);
/// A signer hands out one token for this long, so that verifiers can recognise it by its hash.
const REUSE: Duration = Duration::seconds(30);
/// How far clocks of two machines may differ.
const SKEW: Duration = Duration::seconds(10);
const LONGEST: usize = 2048;
/// Verified tokens remembered at most: one per caller and half minute is all that honest callers need.
const REMEMBERED: usize = 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
    jti: Uuid,
    /// In a bound token: method and path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<String>,
    /// In a bound token: base64url of the SHA-256 of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bh: Option<String>,
}

/// A service's own signing key.
pub struct Signer {
    service: String,
    kid: String,
    key: EncodingKey,
    current: Mutex<HashMap<&'static str, (String, OffsetDateTime)>>,
}

impl Signer {
    /// Reads the key from PKCS#8 PEM (`openssl genpkey -algorithm ed25519`).
    pub fn from_pem(service: &str, pem: &str) -> Result<Self, String> {
        let problem = || "is not an Ed25519 private key in PKCS#8 PEM".to_owned();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| problem())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| problem())?;
        Ok(Self {
            service: service.to_owned(),
            kid: Jwk::of(&pair).kid,
            key: EncodingKey::from_ed_der(der.secret_pkcs8_der()),
            current: Mutex::default(),
        })
    }

    /// A token for `audience`, good for at least half a minute.
    pub fn token(&self, audience: &'static str, now: OffsetDateTime) -> String {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.get(audience) {
            Some((token, until)) if now < *until && *until - now <= REUSE => token.clone(),
            _ => {
                let token = self.sign(audience, None, now);
                current.insert(audience, (token.clone(), now + REUSE));
                token
            }
        }
    }

    /// A token for this one request to `audience`. Another try of the same request takes another token.
    pub fn token_for(
        &self,
        audience: &str,
        operation: &Operation,
        body: BodyDigest,
        now: OffsetDateTime,
    ) -> String {
        self.sign(audience, Some((operation, body)), now)
    }

    fn sign(
        &self,
        audience: &str,
        request: Option<(&Operation, BodyDigest)>,
        now: OffsetDateTime,
    ) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        let claims = Claims {
            iss: self.service.clone(),
            sub: self.service.clone(),
            aud: audience.to_owned(),
            iat: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
            jti: Uuid::from_bytes(random::bytes()),
            op: request.map(|(operation, _)| operation.to_string()),
            bh: request.map(|(_, body)| body.claim()),
        };
        encode(&header, &claims, &self.key).expect("an Ed25519 key signs any JSON object")
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Signer({}, {})", self.service, self.kid)
    }
}

/// What a service answers to a token that is not good.
pub const INVALID: Case =
    Case::refused_token("invalid_service_token", "The service token is not valid");
/// What it answers to one that was good.
pub const EXPIRED: Case =
    Case::refused_token("service_token_expired", "The service token has expired");
/// What it answers to a token of another kind.
pub const WRONG_TYPE: Case = WRONG_TOKEN_TYPE;

/// Why a service token was refused. Callers learn nothing more than that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// No key of ours verifies it, or it says something no signer of ours says.
    #[error("the service token is invalid")]
    Invalid,
    /// It was good and is over.
    #[error("the service token has expired")]
    Expired,
    /// Another kind of token in the place of a service token.
    #[error("this is not a service token")]
    WrongType,
    /// It is meant for another service.
    #[error("the service token is for another service")]
    OtherAudience,
    /// It is good for any request, where one that is good for this request alone is needed.
    #[error("the service token is bound to no request")]
    NotBound,
    /// It is bound to another request.
    #[error("the service token is for another request")]
    OtherRequest,
}

impl From<Misfit> for Refused {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Invalid => Self::Invalid,
            Misfit::WrongType => Self::WrongType,
        }
    }
}

/// The services whose tokens count, by the keys they sign with.
#[derive(Default)]
pub struct TrustedServices {
    keys: HashMap<String, (String, DecodingKey)>,
    verified: Mutex<HashMap<[u8; 32], Claims>>,
}

impl TrustedServices {
    /// Reads `{"keys": [{…, "kid": …, "service": "journal"}]}`.
    pub fn from_jwks(json: &str) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(json).map_err(|_| "is not a JWK set".to_owned())?;
        let mut keys = HashMap::new();
        for jwk in set.keys {
            let key = jwk
                .decoding_key()
                .map_err(|error| format!("has a key that is {error}"))?;
            let service = jwk.service.ok_or("has a key without a `service`")?;
            if keys.insert(jwk.kid, (service, key)).is_some() {
                return Err("names one `kid` twice".to_owned());
            }
        }
        if keys.is_empty() {
            return Err("names no key".to_owned());
        }
        Ok(Self {
            keys,
            verified: Mutex::default(),
        })
    }

    /// The name of the service that signed this token for `audience`. A token that is bound to one request is
    /// refused: it is spent there or nowhere.
    ///
    /// A token seen before is recognised by its SHA-256, so a caller's steady traffic costs one signature
    /// check per half minute; its end is checked every time.
    pub fn verify(
        &self,
        token: &str,
        audience: &str,
        now: OffsetDateTime,
    ) -> Result<String, Refused> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified().get(&hash) {
            check(claims, audience, now)?;
            return Ok(claims.iss.clone());
        }
        let claims = self.check_signature(token)?;
        check(&claims, audience, now)?;
        if claims.op.is_some() || claims.bh.is_some() {
            return Err(Refused::OtherRequest);
        }
        self.remember(hash, claims.clone(), now);
        Ok(claims.iss)
    }

    /// The same for an operation that cannot be undone: the token must be bound to it, and is still to be spent
    /// on the body that it is for.
    pub fn verify_bound(
        &self,
        token: &str,
        audience: &str,
        operation: &Operation,
        now: OffsetDateTime,
    ) -> Result<BoundToken, Refused> {
        let claims = self.check_signature(token)?;
        check(&claims, audience, now)?;
        let (Some(named), Some(body)) = (claims.op, claims.bh) else {
            return Err(Refused::NotBound);
        };
        if named != operation.to_string() {
            return Err(Refused::OtherRequest);
        }
        Ok(BoundToken {
            service: claims.iss,
            body,
            token_id: claims.jti,
            expires_at: claims.exp,
        })
    }

    fn remember(&self, hash: [u8; 32], claims: Claims, now: OffsetDateTime) {
        let mut verified = self.verified();
        if verified.len() >= REMEMBERED {
            verified.retain(|_, known| known.exp > now.unix_timestamp());
        }
        if verified.len() < REMEMBERED {
            verified.insert(hash, claims);
        }
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins algorithm and `typ`; the key named must belong to the service that the token speaks for.
    fn check_signature(&self, token: &str) -> Result<Claims, Refused> {
        let kid = key_name(token, TYPE, LONGEST)?;
        let (service, key) = self.keys.get(&kid).ok_or(Refused::Invalid)?;
        let claims: Claims = decode(token, key, &signature_only())
            .map_err(|_| Refused::Invalid)?
            .claims;
        if claims.iss != *service || claims.sub != *service {
            return Err(Refused::Invalid);
        }
        Ok(claims)
    }
}

impl fmt::Debug for TrustedServices {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.keys.iter().map(|(kid, (service, _))| (kid, service));
        out.debug_map().entries(services).finish()
    }
}

fn check(claims: &Claims, audience: &str, now: OffsetDateTime) -> Result<(), Refused> {
    if claims.aud != audience {
        return Err(Refused::OtherAudience);
    }
    if claims.exp <= now.unix_timestamp() {
        return Err(Refused::Expired);
    }
    let too_early = claims.iat > (now + SKEW).unix_timestamp();
    // Saturating: a signer chooses both numbers, and a wrapped difference would be a short one.
    let too_long = claims.exp.saturating_sub(claims.iat) > LIFETIME.whole_seconds();
    if too_early || too_long {
        Err(Refused::Invalid)
    } else {
        Ok(())
    }
}
