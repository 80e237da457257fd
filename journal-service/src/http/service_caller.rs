//! Identity, as the one service that closes and erases journals: its service token, good for one request.

use std::sync::Arc;

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};
use shared::{
    openapi,
    problem::{Case, FORBIDDEN, Failure, Problem},
    service_token::{
        BodyDigest, BoundToken, EXPIRED, INVALID, NOT_BOUND, NotSpent, OTHER_REQUEST, Operation,
        Refused, WRONG_TYPE,
    },
};
use thiserror::Error;

use crate::Journal;

/// The audience of service tokens for this service.
const AUDIENCE: &str = "journal";
/// The service that may; any other, this one included, may not.
const IDENTITY: &str = "identity";

/// Identity, with a token for this one request that is still to be spent on the body.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "bound_service_token",
    checker = "authenticate"
)]
pub(super) struct Identity(BoundToken);

impl Identity {
    /// Uses the token up.
    pub(super) async fn spend(self, journal: &Journal, body: BodyDigest) -> Result<(), NotSpent> {
        self.0.spend(body, &*journal.pool.get().await?).await
    }
}

/// What operations for identity answer besides their own.
pub(super) const SCHEME: openapi::Scheme = ("bound_service_token", ServiceRejected::CASES);

/// Why it is not identity that is calling. The detail never says more than the code.
#[derive(Debug, Error)]
pub(super) enum ServiceRejected {
    #[error("The service token is not valid here.")]
    Invalid,
    #[error("The service token has expired.")]
    Expired,
    #[error("A service token is needed here.")]
    WrongType,
    #[error("Sign a token for this one request.")]
    NotBound,
    #[error("The service token was made for another request.")]
    OtherRequest,
    #[error("This service has no business with anybody's journal.")]
    Forbidden,
}

impl Failure for ServiceRejected {
    const CASES: &'static [Case] = &[
        INVALID,
        EXPIRED,
        WRONG_TYPE,
        NOT_BOUND,
        OTHER_REQUEST,
        FORBIDDEN,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid => &INVALID,
            Self::Expired => &EXPIRED,
            Self::WrongType => &WRONG_TYPE,
            Self::NotBound => &NOT_BOUND,
            Self::OtherRequest => &OTHER_REQUEST,
            Self::Forbidden => &FORBIDDEN,
        }
    }
}

impl From<Refused> for ServiceRejected {
    fn from(refused: Refused) -> Self {
        match refused {
            // That a token would be good elsewhere is nobody's business here.
            Refused::Invalid | Refused::OtherAudience => Self::Invalid,
            Refused::Expired => Self::Expired,
            Refused::WrongType => Self::WrongType,
            Refused::NotBound => Self::NotBound,
            Refused::OtherRequest => Self::OtherRequest,
        }
    }
}

#[expect(clippy::unused_async, reason = "checkers are async")]
async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<BoundToken> {
    let journal: &Arc<Journal> = request.data().expect("the API is built around its journal");
    Ok(identify(journal, request, &bearer.token).map_err(Problem)?)
}

fn identify(
    journal: &Journal,
    request: &Request,
    token: &str,
) -> Result<BoundToken, ServiceRejected> {
    let operation = Operation::new(request.method().as_str(), request.original_uri().path());
    let now = journal.clock.now();
    let token = journal
        .services
        .verify_bound(token, AUDIENCE, &operation, now)?;
    if token.service() != IDENTITY {
        tracing::warn!(caller = token.service(), "closure refused");
        return Err(ServiceRejected::Forbidden);
    }
    Ok(token)
}
