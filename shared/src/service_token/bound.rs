//! Tokens for what cannot be undone: each is good for one request, and once.
//!
//! Such a token names the operation (`op`: method and path) and the SHA-256 of the body (`bh`), so whoever
//! steals one can do nothing with it but what its signer meant to do; and its `jti` is written down when it is
//! used, so that not even that happens twice, whichever replica is asked. A service that takes such tokens has
//! the table `spent_tokens (token_id uuid PRIMARY KEY, expires_at timestamptz NOT NULL)`.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};

/// What a service answers to a token that is not bound to a request, where it has to be.
pub const NOT_BOUND: Case = Case::refused_token(
    "service_token_not_bound",
    "This operation needs a service token made for this one request",
);
/// What it answers to a token made for another request.
pub const OTHER_REQUEST: Case = Case::refused_token(
    "service_token_for_another_request",
    "The service token was made for another request",
);
/// What it answers to a token that has been used.
pub const SPENT: Case = Case::refused_token(
    "service_token_spent",
    "The service token has been used before",
);

/// How long a used token is remembered beyond its end: more than the clocks of two replicas differ.
const MARGIN: Duration = Duration::minutes(5);

/// What a request does: its method and its path, as the token names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation(String);

impl Operation {
    /// `path` as the server that is called sees it, from its first slash and without a query.
    pub fn new(method: &str, path: &str) -> Self {
        Self(format!("{method} {path}"))
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The SHA-256 of a request's body, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    /// Of these bytes.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// As `bh` has it.
    pub(super) fn claim(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// A token that a trusted service signed for the operation at hand; whether also for this body, and whether
/// for the first time, shows when it is spent.
#[derive(Debug)]
pub struct BoundToken {
    pub(super) service: String,
    pub(super) body: String,
    pub(super) token_id: Uuid,
    pub(super) expires_at: i64,
}

/// Why a token does not carry the request that it came with.
#[derive(Debug, Error)]
pub enum NotSpent {
    /// The body is not the one that was signed for.
    #[error("The service token was made for another body.")]
    OtherBody,
    /// It was used before.
    #[error("Sign a new token for every request.")]
    Spent,
    /// Postgres is away: whether it was used cannot be known.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for NotSpent {
    const CASES: &'static [Case] = &[OTHER_REQUEST, SPENT, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::OtherBody => &OTHER_REQUEST,
            Self::Spent => &SPENT,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::OtherBody | Self::Spent => None,
        }
    }
}

impl BoundToken {
    /// The service that signed it.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Uses the token up for a request with this body. Of any number of uses, by any number of replicas, one
    /// succeeds; a wrong body uses up nothing.
    pub async fn spend(self, body: BodyDigest, db: &impl GenericClient) -> Result<(), NotSpent> {
        if self.body != body.claim() {
            return Err(NotSpent::OtherBody);
        }
        let expires_at = OffsetDateTime::from_unix_timestamp(self.expires_at)
            .map_err(|_| Unexpected::bug("a service token that was let in ends at no time"))?;
        let rows = db
            .execute_typed(
                "INSERT INTO spent_tokens (token_id, expires_at) VALUES ($1, $2)
                 ON CONFLICT (token_id) DO NOTHING",
                &[
                    (&self.token_id, Type::UUID),
                    (&expires_at, Type::TIMESTAMPTZ),
                ],
            )
            .await
            .map_err(Unexpected::from)?;
        if rows == 0 {
            return Err(NotSpent::Spent);
        }
        Ok(())
    }
}

/// Forgets used tokens that could not be used again anyway.
pub async fn forget_spent(db: &impl GenericClient, now: OffsetDateTime) -> Result<(), Unexpected> {
    db.execute_typed(
        "DELETE FROM spent_tokens WHERE expires_at < $1",
        &[(&(now - MARGIN), Type::TIMESTAMPTZ)],
    )
    .await?;
    Ok(())
}
