//! `/api/auth/introspect` and `/api/auth/verify`: identity judges a token for somebody else.

use std::sync::Arc;

use poem::{Request, RequestBody, web::Data};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object, OpenApi,
    registry::Registry, types::Example,
};
use shared::{
    access_token::{BEARER, Caller, Claims},
    problem::{Problem, Unexpected},
    serve::Json,
};
use uuid::Uuid;

use super::{
    Tag, introspect_form::IntrospectForm, service_caller::ServiceCaller, sessions::TokenType,
};
use crate::{
    Identity,
    forward_auth::{ForwardAuthError, forward_auth},
    introspect::introspect,
};

/// The answer of RFC 7662 §2.2. Of a token that is not active it says nothing else.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct Introspection {
    /// Whether the token is genuine and current, and its session and account go on.
    active: bool,
    token_type: Option<TokenType>,
    iss: Option<String>,
    aud: Option<String>,
    /// The person.
    sub: Option<Uuid>,
    /// Their session.
    sid: Option<Uuid>,
    /// The token itself.
    jti: Option<Uuid>,
    /// When the token was made, in seconds since 1970.
    iat: Option<i64>,
    /// When it ends.
    exp: Option<i64>,
    /// When the person last proved who they are.
    auth_time: Option<i64>,
    /// How (RFC 8176).
    amr: Option<Vec<String>>,
}

impl Example for Introspection {
    fn example() -> Self {
        Self {
            active: true,
            token_type: Some(TokenType::Bearer),
            iss: Some("https://id.example.com".to_owned()),
            aud: Some("keystead".to_owned()),
            sub: Some(Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_0001)),
            sid: Some(Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_0002)),
            jti: Some(Uuid::from_u128(0x7d1e_43a2_5b0c_4f6e_9a81_2c3d_4e5f_6071)),
            iat: Some(1_795_554_245),
            exp: Some(1_795_555_145),
            auth_time: Some(1_795_554_245),
            amr: Some(vec!["pwd".to_owned()]),
        }
    }
}

impl Introspection {
    fn active(claims: Claims) -> Self {
        Self {
            active: true,
            token_type: Some(TokenType::Bearer),
            iss: Some(claims.iss),
            aud: Some(claims.aud),
            sub: Some(claims.sub.uuid()),
            sid: Some(claims.sid),
            jti: Some(claims.jti),
            iat: Some(claims.iat),
            exp: Some(claims.exp),
            auth_time: Some(claims.auth_time),
            amr: Some(claims.amr),
        }
    }

    fn inactive() -> Self {
        Self {
            active: false,
            token_type: None,
            iss: None,
            aud: None,
            sub: None,
            sid: None,
            jti: None,
            iat: None,
            exp: None,
            auth_time: None,
            amr: None,
        }
    }
}

#[derive(ApiResponse)]
enum Passed {
    /// The sender may pass, and is who these headers say.
    #[oai(status = 200)]
    Yes(
        /// The person.
        #[oai(header = "X-User-Id")]
        Uuid,
        /// Their session.
        #[oai(header = "X-Session-Id")]
        Uuid,
        /// When they last proved who they are, in seconds since 1970.
        #[oai(header = "X-Auth-Time")]
        i64,
        /// How (RFC 8176), separated by spaces.
        #[oai(header = "X-Auth-Methods")]
        String,
    ),
}

/// A [`Caller`] of an operation that takes no cookie of a browser session: its document does not offer one.
struct TokenBearer(Caller);

impl<'a> ApiExtractor<'a> for TokenBearer {
    const TYPES: &'static [ApiExtractorType] = Caller::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Caller::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![BEARER]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Caller::from_request(request, body, options).await.map(Self)
    }
}

/// Judging tokens for others; the service comes with the request.
pub(super) struct ValidationApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Keys")]
impl ValidationApi {
    /// Ask about a token
    ///
    /// Token introspection (RFC 7662) for services: whether an access token counts at this moment. Unlike its
    /// signature, the answer knows of log-outs and of accounts that were disabled. Any service whose key is in
    /// `SERVICE_JWKS_FILE` may ask, with a service token for the audience `identity`. A refresh token is never
    /// active here: it is nothing to let anybody in by.
    #[oai(path = "/introspect", method = "post", operation_id = "introspect")]
    async fn introspect(
        &self,
        _caller: ServiceCaller,
        identity: Data<&Arc<Identity>>,
        form: IntrospectForm,
    ) -> Result<Json<Introspection>, Problem<Unexpected>> {
        let claims = introspect(&identity, &form.0, identity.clock.now()).await?;
        Ok(Json(claims.map_or_else(
            Introspection::inactive,
            Introspection::active,
        )))
    }

    /// Judge a request for a proxy
    ///
    /// For nginx `auth_request`, Traefik `ForwardAuth` and their like: 200 and who it is, or 401. The session is
    /// looked up each time, so a log-out counts for the very next request. Bearer tokens only: the cookie of a browser
    /// session would pass without its CSRF token. The proxy must put these headers in the
    /// place of whatever its client sent under their names.
    #[oai(path = "/verify", method = "get", operation_id = "verify")]
    async fn verify(
        &self,
        TokenBearer(caller): TokenBearer,
        identity: Data<&Arc<Identity>>,
    ) -> Result<Passed, Problem<ForwardAuthError>> {
        forward_auth(&identity, &caller, identity.clock.now()).await?;
        let claims = caller.claims();
        Ok(Passed::Yes(
            claims.sub.uuid(),
            claims.sid,
            claims.auth_time,
            claims.amr.join(" "),
        ))
    }
}
