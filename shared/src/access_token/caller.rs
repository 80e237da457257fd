//! The person behind a request: by bearer token, or by the cookie of a browser session.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::{Request, RequestBody, http::header};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::AuthorizationError,
    registry::{MetaSecurityScheme, Registry},
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use uuid::Uuid;

use super::{Claims, Refused, Verification};
use crate::{
    openapi::Scheme,
    problem::{Case, Failure, Problem, UNAVAILABLE, Unexpected, WRONG_TOKEN_TYPE},
    serve::RequestScope,
    user_id::UserId,
};

/// The cookie that holds the access token of a browser session. The prefix makes browsers insist on `Secure`,
/// `Path=/` and no `Domain` (RFC 6265bis §4.1.3.2), so no other host can set it.
pub const ACCESS_COOKIE: &str = "__Host-ks_access";
/// The header that repeats the CSRF token. No page of another origin can send it without being allowed to.
pub const CSRF_HEADER: &str = "X-CSRF-Token";

/// The name of the bearer scheme in the API document.
pub const BEARER: &str = "access_token";
/// The name of the cookie scheme in the API document.
pub(crate) const COOKIE: &str = "session_cookie";

/// A person who presented a valid access token: in `Authorization: Bearer`, or in the cookie of a browser
/// session together with what proves that a page of ours made the request.
///
/// A request that carries both is judged by its bearer token alone: a bad one is not made good by a cookie.
pub struct Caller {
    claims: Claims,
    token: SecretString,
}

impl Caller {
    /// The person.
    pub fn user_id(&self) -> UserId {
        self.claims.sub
    }

    /// Their session.
    pub fn session_id(&self) -> Uuid {
        self.claims.sid
    }

    /// All that the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The token, which the vault wants to see before it opens this person's keys.
    pub fn proof(&self) -> &SecretString {
        &self.token
    }
}

/// What operations with a [`Caller`] answer besides their own, for [`crate::openapi::document`].
pub const SCHEMES: &[Scheme; 2] = &[
    (BEARER, &[INVALID, EXPIRED, WRONG_TOKEN_TYPE, UNAVAILABLE]),
    (COOKIE, &[CROSS_SITE, CSRF]),
];

/// Why a request has no [`Caller`].
#[derive(Debug, Error)]
pub enum CallerRejected {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] Refused),
    /// A browser sent it for a page that is none of ours.
    #[error("This page may not act for the person.")]
    CrossSite,
    /// The cookie came without the CSRF token of its session.
    #[error("Send the CSRF token of this session in X-CSRF-Token.")]
    Csrf,
}

/// The token is not ours, not for us, changed, or withdrawn.
pub const INVALID: Case = Case::refused_token("invalid_token", "The access token is not valid");
/// The token was good until its time was over.
pub const EXPIRED: Case = Case::refused_token("token_expired", "The access token has expired");
/// A browser sent the request for a page that is none of ours.
pub const CROSS_SITE: Case = Case::new(403, "cross_site_request", "Another site made this request");
/// The CSRF token did not come along.
pub(crate) const CSRF: Case = Case::new(
    403,
    "csrf_token_invalid",
    "The CSRF token is missing or wrong",
);

impl Failure for CallerRejected {
    const CASES: &'static [Case] = &[
        INVALID,
        EXPIRED,
        WRONG_TOKEN_TYPE,
        CROSS_SITE,
        CSRF,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Token(Refused::Invalid) => &INVALID,
            Self::Token(Refused::Expired) => &EXPIRED,
            Self::Token(Refused::WrongType) => &WRONG_TOKEN_TYPE,
            Self::Token(Refused::KeysUnavailable(_)) => &UNAVAILABLE,
            Self::CrossSite => &CROSS_SITE,
            Self::Csrf => &CSRF,
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Token(Refused::KeysUnavailable(error)) => Some(error),
            _ => None,
        }
    }
}

/// The claim by which every service recognises a session's CSRF token without a key: its SHA-256.
pub fn csrf_claim(csrf_token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(csrf_token))
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |ty, description| MetaSecurityScheme {
            ty,
            description: Some(description),
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        let bearer = MetaSecurityScheme {
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            ..scheme("http", "An access token of the identity service.")
        };
        let cookie = MetaSecurityScheme {
            name: Some(ACCESS_COOKIE),
            key_in: Some("cookie"),
            ..scheme(
                "apiKey",
                "The cookie of a browser session. A request that changes something also needs the session's CSRF \
                 token in `X-CSRF-Token`, and must come from a page of an allowed origin.",
            )
        };
        registry.create_security_scheme(BEARER, bearer);
        registry.create_security_scheme(COOKIE, cookie);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![BEARER, COOKIE]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        authenticate(request).await
    }
}

/// Where a token came from.
enum Presented<'a> {
    Bearer(&'a str),
    Cookie(&'a str),
}

async fn authenticate(request: &Request) -> poem::Result<Caller> {
    let verification: &Verification = request
        .data()
        .expect("every service that takes access tokens installs their verification");
    let presented = presented(request).ok_or(AuthorizationError)?;
    let (Presented::Bearer(token) | Presented::Cookie(token)) = presented;
    let claims = verification
        .verifier
        .verify(token, verification.clock.now())
        .await
        .map_err(|refused| Problem(CallerRejected::Token(refused)))?;
    if let Presented::Cookie(_) = presented {
        check_page(request, verification, &claims).map_err(Problem)?;
    }
    if let Some(scope) = RequestScope::current() {
        scope.set_user(claims.sub);
    }
    Ok(Caller {
        token: token.into(),
        claims,
    })
}

/// The bearer token, else the cookie. A header that is no bearer token is no reason to look further.
fn presented(request: &Request) -> Option<Presented<'_>> {
    if let Some(value) = request.headers().get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("bearer");
        return bearer.then(|| Presented::Bearer(token.trim()));
    }
    cookie(request, ACCESS_COOKIE).map(Presented::Cookie)
}

/// The value of a cookie that came exactly once.
pub fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let headers = request.headers().get_all(header::COOKIE).iter();
    let pairs = headers.filter_map(|value| value.to_str().ok());
    let mut values = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    });
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

/// A browser adds cookies by itself, so whoever comes with one must show that a page of ours asked. Reading is
/// not checked: `SameSite=Strict` keeps the cookie away from other sites, and CORS the answer.
fn check_page(
    request: &Request,
    verification: &Verification,
    claims: &Claims,
) -> Result<(), CallerRejected> {
    // The token of another kind of session has no business in a cookie.
    let expected = claims.csrf.as_deref().ok_or(Refused::WrongType)?;
    if request.method().is_safe() {
        return Ok(());
    }
    if !verification.origins.vouch_for(request.headers()) {
        return Err(CallerRejected::CrossSite);
    }
    let given = request.header(CSRF_HEADER).ok_or(CallerRejected::Csrf)?;
    let same = csrf_claim(given).as_bytes().ct_eq(expected.as_bytes());
    if bool::from(same) {
        Ok(())
    } else {
        Err(CallerRejected::Csrf)
    }
}
