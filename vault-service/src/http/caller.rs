//! Who is calling: a service, proven by its client certificate and its token, which must name the same
//! one, and the person whose access token it brought along.

use std::{sync::Arc, time::Duration};

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};
use shared::{
    access_token, openapi,
    problem::{Case, Failure, INTERNAL, Problem, UNAVAILABLE, Unexpected},
    serve::{Peer, PeerCertificate, RequestScope},
    service_token::{
        self, BodyDigest, BoundToken, EXPIRED, INVALID, NOT_BOUND, NotSpent, OTHER_REQUEST,
        Operation, WRONG_TYPE,
    },
};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Vault,
    domain::policy::{Caller, Service},
    refusals::NOT_ALLOWED,
};

/// What an operation with a bound token answers in place of a service's or a person's token.
const BOUND_CASES: &[Case] = &[
    INVALID,
    EXPIRED,
    CERTIFICATE_MISMATCH,
    NOT_ALLOWED,
    WRONG_TYPE,
    NOT_BOUND,
    OTHER_REQUEST,
    INTERNAL,
    SEALED,
    UNAVAILABLE,
];

/// The audience of service tokens for this vault.
const AUDIENCE: &str = "vault";
/// What the private CA puts before a service's name in its certificates.
const SERVICE_URI: &str = "spiffe://keystead/";
const USER_TOKEN: &str = "X-User-Token";

/// A service whose client certificate and service token are valid and name the same service.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "service_token",
    checker = "authenticate"
)]
pub(super) struct Authenticated(Caller);

impl Authenticated {
    pub(super) fn caller(&self) -> Caller {
        self.0
    }
}

/// The same for an operation that cannot be undone: its token is good for this one request. Who is calling shows when
/// the token has been spent on the body.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "bound_service_token",
    checker = "authenticate_bound"
)]
pub(super) struct Bound(Unspent);

struct Unspent {
    caller: Caller,
    token: BoundToken,
}

/// As [`Authenticated`], for what a sealed vault answers, too.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "service_token",
    checker = "authenticate_while_sealed"
)]
pub(super) struct WhileSealed(#[expect(dead_code, reason = "being known is enough")] Caller);

/// As [`Bound`], for what a sealed vault answers, too.
#[derive(SecurityScheme)]
#[oai(
    ty = "bearer",
    bearer_format = "JWT",
    rename = "bound_service_token",
    checker = "authenticate_bound_while_sealed"
)]
pub(super) struct BoundWhileSealed(Unspent);

impl Bound {
    /// The caller, whose token is used up by this.
    pub(super) async fn spend(self, vault: &Vault, body: BodyDigest) -> Result<Caller, NotSpent> {
        self.0.spend(vault, body).await
    }
}

impl BoundWhileSealed {
    /// The caller, whose token is used up by this.
    pub(super) async fn spend(self, vault: &Vault, body: BodyDigest) -> Result<Caller, NotSpent> {
        self.0.spend(vault, body).await
    }
}

impl Unspent {
    async fn spend(self, vault: &Vault, body: BodyDigest) -> Result<Caller, NotSpent> {
        let Self { caller, token } = self;
        token.spend(body, &*vault.pool.get().await?).await?;
        Ok(caller)
    }
}

/// What the operations answer besides their own.
pub(super) const SCHEMES: &[openapi::Scheme] = &[
    ("service_token", CallerRejected::CASES),
    ("bound_service_token", BOUND_CASES),
];

/// Why nobody is calling. The detail never says more than the code.
#[derive(Debug, Error)]
pub(super) enum CallerRejected {
    #[error("The service token is not valid here.")]
    InvalidToken,
    #[error("The service token has expired.")]
    ExpiredToken,
    #[error("The client certificate and the service token name different services.")]
    CertificateMismatch,
    #[error("This service has no business with the vault.")]
    UnknownService,
    #[error("The access token in X-User-Token is not valid.")]
    InvalidUserToken,
    #[error("The access token in X-User-Token has expired.")]
    ExpiredUserToken,
    #[error("A service token is needed in Authorization.")]
    WrongTypeOfToken,
    #[error("X-User-Token holds another type of token.")]
    WrongTypeOfUserToken,
    #[error("Sign a token for this one request.")]
    NotBound,
    #[error("The service token was made for another request.")]
    OtherRequest,
    #[error("Nothing opens until the operator has opened the vault.")]
    Sealed,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const CERTIFICATE_MISMATCH: Case = Case::refused_token(
    "certificate_mismatch",
    "The client certificate names another service than the token",
);
const INVALID_USER_TOKEN: Case = Case::refused_token(
    "invalid_user_token",
    "The access token in X-User-Token is not valid",
);
const EXPIRED_USER_TOKEN: Case = Case::refused_token(
    "user_token_expired",
    "The access token in X-User-Token has expired",
);

const SEALED: Case = Case::new(503, "sealed", "The vault is sealed");
/// When to come again: somebody has to open it.
const SEALED_RETRY: Duration = Duration::from_secs(5);

impl Failure for CallerRejected {
    const CASES: &'static [Case] = &[
        INVALID,
        EXPIRED,
        CERTIFICATE_MISMATCH,
        NOT_ALLOWED,
        INVALID_USER_TOKEN,
        EXPIRED_USER_TOKEN,
        WRONG_TYPE,
        OTHER_REQUEST,
        INTERNAL,
        SEALED,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID,
            Self::ExpiredToken => &EXPIRED,
            Self::CertificateMismatch => &CERTIFICATE_MISMATCH,
            Self::UnknownService => &NOT_ALLOWED,
            Self::InvalidUserToken => &INVALID_USER_TOKEN,
            Self::ExpiredUserToken => &EXPIRED_USER_TOKEN,
            Self::WrongTypeOfToken | Self::WrongTypeOfUserToken => &WRONG_TYPE,
            Self::NotBound => &NOT_BOUND,
            Self::OtherRequest => &OTHER_REQUEST,
            Self::Sealed => &SEALED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sealed => Some(SEALED_RETRY),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

async fn authenticate(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let vault: &Arc<Vault> = request.data().expect("the API is built around its vault");
    let caller = identify(vault, request, &bearer.token)
        .await
        .map_err(Problem)?;
    open(vault).map_err(Problem)?;
    Ok(caller)
}

async fn authenticate_while_sealed(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let vault: &Arc<Vault> = request.data().expect("the API is built around its vault");
    let caller = identify(vault, request, &bearer.token).await;
    Ok(caller.map_err(Problem)?)
}

/// Whoever is not known does not learn of it.
fn open(vault: &Vault) -> Result<(), CallerRejected> {
    let keys = vault.keys.if_open();
    keys.map(drop).ok_or(CallerRejected::Sealed)
}

async fn identify(vault: &Vault, request: &Request, token: &str) -> Result<Caller, CallerRejected> {
    let service = vault.trusted.verify(token, AUDIENCE, vault.clock.now())?;
    let service = certified(request, &service)?;
    let person = match request.headers().get(USER_TOKEN) {
        Some(token) => Some(person(vault, token.to_str().unwrap_or_default()).await?),
        None => None,
    };
    Ok(Caller { service, person })
}

#[expect(clippy::unused_async, reason = "checkers are async")]
async fn authenticate_bound(request: &Request, bearer: Bearer) -> poem::Result<Unspent> {
    let vault: &Arc<Vault> = request.data().expect("the API is built around its vault");
    let unspent = identify_bound(vault, request, &bearer.token).map_err(Problem)?;
    open(vault).map_err(Problem)?;
    Ok(unspent)
}

#[expect(clippy::unused_async, reason = "checkers are async")]
async fn authenticate_bound_while_sealed(
    request: &Request,
    bearer: Bearer,
) -> poem::Result<Unspent> {
    let vault: &Arc<Vault> = request.data().expect("the API is built around its vault");
    let unspent = identify_bound(vault, request, &bearer.token).map_err(Problem)?;
    Ok(unspent)
}

/// No person comes along: nothing of this takes the proof of one.
fn identify_bound(
    vault: &Vault,
    request: &Request,
    token: &str,
) -> Result<Unspent, CallerRejected> {
    let operation = Operation::new(request.method().as_str(), request.original_uri().path());
    let token = vault
        .trusted
        .verify_bound(token, AUDIENCE, &operation, vault.clock.now())?;
    let service = certified(request, token.service())?;
    let person = None;
    Ok(Unspent {
        caller: Caller { service, person },
        token,
    })
}

/// The service, when the client certificate names the same one.
fn certified(request: &Request, service: &str) -> Result<Service, CallerRejected> {
    let peer = request.data::<Arc<Peer>>();
    let certified = peer.and_then(|peer| certified_service(peer.certificate.as_ref()?));
    if certified != Some(service) {
        return Err(CallerRejected::CertificateMismatch);
    }
    service.parse().map_err(|_| CallerRejected::UnknownService)
}

async fn person(vault: &Vault, token: &str) -> Result<Uuid, CallerRejected> {
    let claims = vault.people.verify(token, vault.clock.now()).await?;
    if let Some(scope) = RequestScope::current() {
        scope.set_user(claims.sub);
    }
    Ok(claims.sub.uuid())
}

/// The one service a certificate names. A certificate for two services speaks for neither.
fn certified_service(certificate: &PeerCertificate) -> Option<&str> {
    let mut names = certificate
        .uris
        .iter()
        .filter_map(|uri| uri.strip_prefix(SERVICE_URI));
    names.next().filter(|_| names.next().is_none())
}

impl From<service_token::Refused> for CallerRejected {
    fn from(refused: service_token::Refused) -> Self {
        match refused {
            service_token::Refused::Expired => Self::ExpiredToken,
            service_token::Refused::WrongType => Self::WrongTypeOfToken,
            service_token::Refused::Invalid | service_token::Refused::OtherAudience => {
                Self::InvalidToken
            }
            service_token::Refused::NotBound => Self::NotBound,
            service_token::Refused::OtherRequest => Self::OtherRequest,
        }
    }
}

impl From<access_token::Refused> for CallerRejected {
    fn from(refused: access_token::Refused) -> Self {
        match refused {
            access_token::Refused::Invalid => Self::InvalidUserToken,
            access_token::Refused::Expired => Self::ExpiredUserToken,
            access_token::Refused::WrongType => Self::WrongTypeOfUserToken,
            access_token::Refused::KeysUnavailable(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(uris: &[&str]) -> PeerCertificate {
        PeerCertificate {
            common_name: Some("identity".to_owned()),
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        }
    }

    #[test]
    fn a_certificate_names_its_service_in_exactly_one_uri_and_never_by_common_name() {
        let name = |uris: &[&str]| certified_service(&certificate(uris)).map(str::to_owned);
        assert_eq!(
            name(&["spiffe://keystead/journal"]).as_deref(),
            Some("journal")
        );
        assert_eq!(name(&[]), None);
        assert_eq!(name(&["spiffe://elsewhere/journal"]), None);
        assert_eq!(
            name(&["spiffe://keystead/journal", "spiffe://keystead/identity"]),
            None
        );
    }
}
