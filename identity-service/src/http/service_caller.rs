//! Another service that asks: its service token, signed by a key we were told to trust.

use std::sync::Arc;

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};
use shared::{
    openapi,
    problem::{Case, Failure, Problem},
    service_token::{EXPIRED, INVALID, Refused, WRONG_TYPE},
};
use thiserror::Error;

use crate::Identity;

/// The audience of service tokens for this service.
const AUDIENCE: &str = "identity";

/// A service whose token is valid here. Which one it is makes no difference.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "service_token",
    checker = "authenticate"
)]
pub(super) struct ServiceCaller(
    #[expect(dead_code, reason = "who it is makes no difference")] String,
);

/// What operations for services answer besides their own.
pub(super) const SCHEME: openapi::Scheme = ("service_token", ServiceRejected::CASES);

/// Why no service is calling. The detail never says more than the code.
#[derive(Debug, Error)]
pub(super) enum ServiceRejected {
    #[error("The service token is not valid here.")]
    Invalid,
    #[error("The service token has expired.")]
    Expired,
    #[error("A service token is needed here.")]
    WrongType,
}

impl Failure for ServiceRejected {
    const CASES: &'static [Case] = &[INVALID, EXPIRED, WRONG_TYPE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid => &INVALID,
            Self::Expired => &EXPIRED,
            Self::WrongType => &WRONG_TYPE,
        }
    }
}

impl From<Refused> for ServiceRejected {
    fn from(refused: Refused) -> Self {
        match refused {
            // That a token would be good elsewhere is nobody's business here.
            Refused::Invalid
            | Refused::OtherAudience
            | Refused::NotBound
            | Refused::OtherRequest => Self::Invalid,
            Refused::Expired => Self::Expired,
            Refused::WrongType => Self::WrongType,
        }
    }
}

#[expect(clippy::unused_async, reason = "checkers are async")]
async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<String> {
    let identity: &Arc<Identity> = request.data().expect("the API is built around its service");
    let verified = identity
        .services
        .verify(&bearer.token, AUDIENCE, identity.clock.now());
    Ok(verified.map_err(|refused| Problem(ServiceRejected::from(refused)))?)
}
