//! `/api/auth`: logging in, staying logged in, leaving.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, Union, types::Example};
use secrecy::{ExposeSecret, SecretString};
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    accounts::{EXAMPLE_EMAIL, EXAMPLE_PASSWORD},
    cookies::{self, Page, SessionKind},
    secret_text::SecretText,
};
use crate::{
    Identity,
    device::Device,
    domain::carrier::Carrier,
    login::{Attempt, LoggedIn, LoginError, login},
    logout::{SessionError, logout},
    mfa_challenge::Challenge,
    mint::{Opened, Tokens},
    refresh::{RefreshError, Shown, refresh},
};

pub(super) const EXAMPLE_ACCESS: &str =
    "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjgwODEifQ.c2ln";
pub(super) const EXAMPLE_MFA: &str =
    "kst_m_AZq08HwAcACAAAAAAAAAAeGW0NJibd6wtaFZ_Mj6l5Nrh7OnS4FnwHk4gc0cezXD";
pub(super) const EXAMPLE_DEVICE: &str =
    "kst_d_AZq08HwAcACAAAAAAAAAAQAAAABlYvqA4ZbQ0mJt3rC1oVn8yPqXk2uHs6dLgWfAeTiBzRx7NcM";
const EXAMPLE_REFRESH: &str = "kst_r_AZq08HwAcACAAAAAAAAAAQGYwN4AAHAAgAAAAAAAAAEAAAAAAAAAAOGW0NJibd6wtaFZ_Mj6l5Nrh7OnS4FnwHk4gc0cezXD";

/// An address and its password.
#[derive(Object)]
#[oai(example)]
struct Login {
    /// In any spelling of upper and lower case.
    email: String,
    /// As it was chosen; compared in Unicode normal form C.
    password: SecretText,
    /// The newest that this device was given. With it, failures of strangers do not lock this device out; one that is
    /// void counts as none, and another kind of token is refused.
    device_token: Option<SecretText>,
    /// Where the tokens go.
    #[oai(default)]
    session: SessionKind,
}

impl Example for Login {
    fn example() -> Self {
        Self {
            email: EXAMPLE_EMAIL.to_owned(),
            password: SecretText::example(EXAMPLE_PASSWORD),
            device_token: Some(SecretText::example(EXAMPLE_DEVICE)),
            session: SessionKind::Token,
        }
    }
}

/// The refresh token of the session; an empty object when it is in its cookie.
#[derive(Object)]
#[oai(example)]
struct Refresh {
    /// The newest one of the session; a cookie session has it in its cookie.
    refresh_token: Option<SecretText>,
}

impl Example for Refresh {
    fn example() -> Self {
        Self {
            refresh_token: Some(SecretText::example(EXAMPLE_REFRESH)),
        }
    }
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum LoginStatus {
    /// The person is logged in.
    Authenticated,
}

#[derive(Clone, Copy, Enum)]
pub(super) enum TokenType {
    /// RFC 6750.
    Bearer,
}

/// The tokens of a session, or, when they went into cookies, what its page needs.
#[derive(Object)]
#[oai(example)]
pub(super) struct Session {
    status: LoginStatus,
    /// A JWT for `Authorization: Bearer`, here and at every service of the platform. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    access_token: Option<String>,
    /// Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    token_type: Option<TokenType>,
    /// Seconds for which the access token is good.
    expires_in: i64,
    /// Opaque; for `refresh` alone. Every use answers with the next one, and the one before is void after
    /// 30 seconds. Using an older one ends the session. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    refresh_token: Option<String>,
    /// Seconds for which the refresh token is good when it is not used.
    refresh_expires_in: i64,
    /// For `X-CSRF-Token` with everything that changes something. For a cookie session only.
    #[oai(skip_serializing_if_is_none)]
    csrf_token: Option<String>,
}

impl Example for Session {
    fn example() -> Self {
        Self {
            status: LoginStatus::Authenticated,
            access_token: Some(EXAMPLE_ACCESS.to_owned()),
            token_type: Some(TokenType::Bearer),
            expires_in: 900,
            refresh_token: Some(EXAMPLE_REFRESH.to_owned()),
            refresh_expires_in: 604_800,
            csrf_token: None,
        }
    }
}

/// The tokens of a new session.
#[derive(Object)]
#[oai(example)]
pub(super) struct NewSession {
    #[oai(flatten)]
    session: Session,
    /// For the next login on this device: keep it when the session ends. It opens nothing. Good for 180 days, and
    /// until every session of the account is ended at once or its password or address is another one: the device that
    /// changes those is given the next. A login without it is told to the owner of the account, as one from a new
    /// device. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    device_token: Option<String>,
}

impl Example for NewSession {
    fn example() -> Self {
        Self {
            session: Session::example(),
            device_token: Some(EXAMPLE_DEVICE.to_owned()),
        }
    }
}

impl NewSession {
    /// The answer to a login, with its tokens in the body or in cookies.
    pub(super) fn carrying(opened: Opened) -> Self {
        let carrier = opened.tokens.carrier();
        Self {
            device_token: cookies::hand_over(&opened.device_token, carrier),
            session: Session::carrying(opened.tokens),
        }
    }
}

impl Session {
    /// The answer with these tokens, in its body or in its cookies.
    pub(super) fn carrying(tokens: Tokens) -> Self {
        let in_body = tokens.carrier() == Carrier::Body;
        if !in_body {
            cookies::set(&tokens);
        }
        let exposed = |secret: &SecretString| in_body.then(|| secret.expose_secret().to_owned());
        Self {
            status: LoginStatus::Authenticated,
            access_token: exposed(&tokens.access_token),
            token_type: in_body.then_some(TokenType::Bearer),
            expires_in: tokens.access_expires_in.whole_seconds(),
            refresh_token: exposed(&tokens.refresh_token),
            refresh_expires_in: tokens.refresh_expires_in.whole_seconds(),
            csrf_token: tokens.csrf_token,
        }
    }
}

/// How a second factor can be shown.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum Method {
    /// A code of the authenticator app.
    Totp,
    /// One of the codes that were written down.
    RecoveryCode,
}

/// The password was right; the account has a second factor.
#[derive(Object)]
#[oai(example)]
struct MfaRequired {
    /// Opaque; for `verify-mfa` alone. Good for one login and three tries.
    mfa_token: String,
    methods: Vec<Method>,
    /// Seconds for which the token is good.
    expires_in: i64,
}

impl Example for MfaRequired {
    fn example() -> Self {
        Self {
            mfa_token: EXAMPLE_MFA.to_owned(),
            methods: vec![Method::Totp, Method::RecoveryCode],
            expires_in: 300,
        }
    }
}

impl From<Challenge> for MfaRequired {
    fn from(challenge: Challenge) -> Self {
        Self {
            mfa_token: challenge.token.expose_secret().to_owned(),
            methods: vec![Method::Totp, Method::RecoveryCode],
            expires_in: challenge.expires_in.whole_seconds(),
        }
    }
}

/// What a right password leads to: `status` tells which.
#[derive(Union)]
#[oai(one_of, discriminator_name = "status", rename_all = "snake_case")]
enum LoginAnswer {
    Authenticated(NewSession),
    MfaRequired(MfaRequired),
}

impl From<LoggedIn> for LoginAnswer {
    fn from(logged_in: LoggedIn) -> Self {
        match logged_in {
            LoggedIn::Authenticated(opened) => Self::Authenticated(NewSession::carrying(opened)),
            LoggedIn::MfaRequired(challenge) => Self::MfaRequired(challenge.into()),
        }
    }
}

#[derive(ApiResponse)]
enum LoggedOut {
    /// The session has ended.
    #[oai(status = 204)]
    NoContent,
}

/// Sessions; the service comes with the request.
pub(super) struct SessionsApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Sessions")]
impl SessionsApi {
    /// Log in
    ///
    /// A wrong password, an unknown address, an unconfirmed and a disabled account are one answer. So are, after too
    /// many failures, a right and a wrong password for any address, until the time in `Retry-After` is up. An account
    /// with a second factor gets a token for `verify-mfa` instead of a session. With `"session": "cookie"` the
    /// tokens go into the cookies `__Host-ks_access` and `__Secure-ks_refresh`, for pages of this origin or of an
    /// allowed one.
    #[oai(path = "/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        page: Page,
        body: Json<Login>,
    ) -> Result<Json<LoginAnswer>, Problem<LoginError>> {
        let carrier = body.0.session.into();
        page.admit(carrier).map_err(|_| LoginError::CrossSite)?;
        let device_token = body.0.device_token.map(SecretText::into_secret);
        let device_token = device_token.or_else(|| page.into_device_token());
        let attempt = Attempt {
            email: body.0.email,
            password: body.0.password.into_secret(),
            device,
            device_token,
            carrier,
        };
        Ok(Json(
            login(&identity, attempt, identity.clock.now())
                .await?
                .into(),
        ))
    }

    /// Get the next pair of tokens
    ///
    /// Safe to repeat for 30 seconds: the same token again gets the same next one, for two tabs that refresh
    /// at once and for a client whose answer was lost. A page whose session lives in cookies sends `{}`, and gets new
    /// cookies and its CSRF token: also after it was loaded anew.
    #[oai(path = "/refresh", method = "post", operation_id = "refresh")]
    async fn refresh(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        page: Page,
        body: Json<Refresh>,
    ) -> Result<Json<Session>, Problem<RefreshError>> {
        let shown = if let Some(token) = body.0.refresh_token {
            Shown::InBody(token.into_secret())
        } else {
            page.admit(Carrier::Cookies)
                .map_err(|_| RefreshError::CrossSite)?;
            let cookies = page.into_refresh_token();
            let (token, session_id) = cookies.ok_or(RefreshError::InvalidToken)?;
            Shown::InCookies { token, session_id }
        };
        let tokens = refresh(&identity, &shown, device, identity.clock.now()).await?;
        Ok(Json(Session::carrying(tokens)))
    }

    /// Log out
    ///
    /// Ends the session of the access token. Its refresh token is void at once; the access token itself runs
    /// out within 15 minutes. A page whose access token has run out refreshes first.
    #[oai(path = "/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
    ) -> Result<LoggedOut, Problem<SessionError>> {
        let left = logout(&identity, &caller, device, identity.clock.now()).await;
        if matches!(left, Ok(()) | Err(SessionError::Ended)) {
            cookies::clear_if_used_by(&caller);
        }
        left?;
        Ok(LoggedOut::NoContent)
    }
}
