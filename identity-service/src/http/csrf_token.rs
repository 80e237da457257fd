//! `/api/csrf-token`: for pages whose session lives in cookies.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi, types::Example};
use shared::{
    access_token::{Caller, csrf_claim},
    problem::{Case, Failure, Problem},
    serve::Json,
};
use thiserror::Error;

use super::Tag;
use crate::Identity;

const EXAMPLE_CSRF: &str = "kst_c_4ZbQ0mJt3rC1oVn8yPqXk2uHs6dLgWfAeTiBzRx7NcM";

/// What a page shows with everything that changes something.
#[derive(Object)]
#[oai(example)]
struct CsrfToken {
    /// For `X-CSRF-Token`; the same for the whole session.
    csrf_token: String,
}

impl Example for CsrfToken {
    fn example() -> Self {
        Self {
            csrf_token: EXAMPLE_CSRF.to_owned(),
        }
    }
}

/// Whoever sends tokens by themselves needs no CSRF token.
#[derive(Debug, Error)]
#[error("This session does not live in cookies and needs no CSRF token.")]
struct NoCookieSession;

const NO_COOKIE_SESSION: Case = Case::new(
    409,
    "no_cookie_session",
    "The session does not live in cookies",
);

impl Failure for NoCookieSession {
    const CASES: &'static [Case] = &[NO_COOKIE_SESSION];

    fn case(&self) -> &'static Case {
        &NO_COOKIE_SESSION
    }
}

/// The CSRF token; the service comes with the request.
pub(super) struct CsrfTokenApi;

#[expect(clippy::unused_async, reason = "poem-openapi wants async functions")]
#[OpenApi(prefix_path = "/api", tag = "Tag::Sessions")]
impl CsrfTokenApi {
    /// Get the CSRF token
    ///
    /// Of the cookie session that asks, for `X-CSRF-Token`. The login and every refresh answer it too.
    #[oai(path = "/csrf-token", method = "get", operation_id = "get_csrf_token")]
    async fn csrf_token(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
    ) -> Result<Json<CsrfToken>, Problem<NoCookieSession>> {
        let claim = caller.claims().csrf.as_deref();
        let mut tokens = identity.secrets.csrf_tokens(caller.session_id());
        // By the version of the secret that the access token was minted under.
        let csrf_token = tokens.find(|token| claim == Some(csrf_claim(token).as_str()));
        let csrf_token = csrf_token.ok_or(NoCookieSession)?;
        Ok(Json(CsrfToken { csrf_token }))
    }
}
