//! The person behind a request, as a poem-openapi security scheme.

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};
use secrecy::SecretString;
use thiserror::Error;
use uuid::Uuid;

use super::{Claims, Refused, Verification};
use crate::{
    openapi::Scheme,
    problem::{Case, Failure, Problem, UNAVAILABLE, Unexpected},
    serve::RequestScope,
    user_id::UserId,
};

/// A person who presented a valid access token in `Authorization: Bearer`.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "access_token",
    checker = "authenticate"
)]
pub struct Caller(Presented);

/// A verified access token: what it says, and the token itself for passing on as the living proof.
pub struct Presented {
    /// What the token says.
    pub claims: Claims,
    /// The token, for `X-User-Token`.
    pub token: SecretString,
}

impl Caller {
    /// The person.
    pub fn user_id(&self) -> UserId {
        self.0.claims.sub
    }

    /// Their session.
    pub fn session_id(&self) -> Uuid {
        self.0.claims.sid
    }

    /// The token, which the vault wants to see before it opens this person's keys.
    pub fn proof(&self) -> &SecretString {
        &self.0.token
    }
}

/// What operations with a [`Caller`] answer besides their own, for [`crate::openapi::document`].
pub const SCHEME: Scheme = ("access_token", CallerRejected::CASES);

/// Why a request has no [`Caller`].
#[derive(Debug, Error)]
#[error(transparent)]
pub struct CallerRejected(#[from] Refused);

const INVALID: Case = Case::new(401, "invalid_token", "The access token is not valid");
const EXPIRED: Case = Case::new(401, "token_expired", "The access token has expired");
const WRONG_TYPE: Case = Case::new(
    401,
    "wrong_token_type",
    "Another type of token is needed here",
);

impl Failure for CallerRejected {
    const CASES: &'static [Case] = &[INVALID, EXPIRED, WRONG_TYPE, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self.0 {
            Refused::Invalid => &INVALID,
            Refused::Expired => &EXPIRED,
            Refused::WrongType => &WRONG_TYPE,
            Refused::KeysUnavailable(_) => &UNAVAILABLE,
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        Some(r#"Bearer error="invalid_token""#)
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match &self.0 {
            Refused::KeysUnavailable(error) => Some(error),
            _ => None,
        }
    }
}

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Presented> {
    let verification: &Verification = request
        .data()
        .expect("every service that takes access tokens installs their verification");
    let claims = verification
        .verifier
        .verify(&bearer.token, verification.clock.now())
        .await
        .map_err(|refused| Problem(CallerRejected(refused)))?;
    if let Some(scope) = RequestScope::current() {
        scope.set_user(claims.sub);
    }
    Ok(Presented {
        claims,
        token: bearer.token.into(),
    })
}
