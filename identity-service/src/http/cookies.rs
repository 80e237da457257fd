//! The cookies of a browser session. No script reads them, and no other site makes a browser send them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderValue, header::SET_COOKIE},
};
use poem_openapi::Enum;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::{
    access_token::{ACCESS_COOKIE, Caller, Verification, cookie},
    serve::RequestScope,
};
use time::Duration;
use uuid::Uuid;

use crate::{
    domain::{carrier::Carrier, device_token},
    mint::Tokens,
};

/// How tokens travel.
#[derive(Clone, Copy, Default, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum SessionKind {
    /// In bodies: for apps, and for pages that keep tokens themselves.
    #[default]
    Token,
    /// In cookies that no script can read.
    Cookie,
}

impl From<SessionKind> for Carrier {
    fn from(kind: SessionKind) -> Self {
        match kind {
            SessionKind::Token => Self::Body,
            SessionKind::Cookie => Self::Cookies,
        }
    }
}

/// Goes to one path alone, so that it is seen as seldom as possible.
const REFRESH_COOKIE: &str = "__Secure-ks_refresh";
const REFRESH_PATH: &str = "/api/auth/refresh";

/// What makes a login count apart from strangers' goes to the login alone, and outlasts the session.
const DEVICE_COOKIE: &str = "__Secure-ks_device";
const DEVICE_PATH: &str = "/api/auth/login";

/// Both tokens, for as long as the session lasts without a refresh: an access token that ran out still shows which
/// cookies to renew.
pub(super) fn set(tokens: &Tokens) {
    let lasts = tokens.refresh_expires_in;
    put(ACCESS_COOKIE, &tokens.access_token, "/", lasts);
    put(REFRESH_COOKIE, &tokens.refresh_token, REFRESH_PATH, lasts);
}

/// Makes the device known at its next login: gives what the body says, unless that went into its cookie.
pub(super) fn hand_over(device_token: &SecretString, carrier: Carrier) -> Option<String> {
    match carrier {
        Carrier::Body => Some(device_token.expose_secret().to_owned()),
        Carrier::Cookies => {
            let lasts = device_token::LIFETIME;
            put(DEVICE_COOKIE, device_token, DEVICE_PATH, lasts);
            None
        }
    }
}

/// Where the tokens of a caller's session are.
pub(super) fn carrier_of(caller: &Caller) -> Carrier {
    match caller.claims().csrf {
        None => Carrier::Body,
        Some(_) => Carrier::Cookies,
    }
}

/// Takes the cookies back from a browser whose session has ended.
pub(super) fn clear_if_used_by(caller: &Caller) {
    if carrier_of(caller) == Carrier::Cookies {
        let nothing = SecretString::default();
        put(ACCESS_COOKIE, &nothing, "/", Duration::ZERO);
        put(REFRESH_COOKIE, &nothing, REFRESH_PATH, Duration::ZERO);
    }
}

fn put(name: &str, value: &SecretString, path: &str, lasts: Duration) {
    let value = format!(
        "{name}={}; Path={path}; Max-Age={}; HttpOnly; Secure; SameSite=Strict",
        value.expose_secret(),
        lasts.whole_seconds()
    );
    let mut value: HeaderValue = value.parse().expect("tokens and paths are ASCII");
    value.set_sensitive(true);
    let scope = RequestScope::current().expect("handlers run within a request");
    scope.answer_with(SET_COOKIE, value);
}

/// The page behind a request, when there is one.
pub(super) struct Page {
    refresh_token: Option<SecretString>,
    session_id: Option<Uuid>,
    device_token: Option<SecretString>,
    vouched: bool,
}

/// Another site's page, which may neither log somebody in here nor use their cookies.
pub(super) struct CrossSite;

impl Page {
    /// Whether tokens may go into the cookies of this browser: a stranger's page must not log a person in either, as
    /// themselves or as somebody else (login CSRF), nor make their browser the device of somebody else.
    pub(super) fn admit(&self, carrier: Carrier) -> Result<(), CrossSite> {
        let may = self.vouched || carrier == Carrier::Body;
        may.then_some(()).ok_or(CrossSite)
    }

    /// The refresh token in its cookie, and the session that the cookie beside it is of.
    pub(super) fn into_refresh_token(self) -> Option<(SecretString, Uuid)> {
        self.refresh_token.zip(self.session_id)
    }

    /// The device token in its cookie.
    pub(super) fn into_device_token(self) -> Option<SecretString> {
        // A browser cannot mend its cookies: what does not belong there must not keep it out.
        let ours = |it: &SecretString| !device_token::is_another_type(it.expose_secret());
        self.device_token.filter(ours)
    }
}

/// The session of an access token that may have run out long ago, and is not verified: nobody but this host can set
/// its cookie (`__Host-`), which is all that is asked of it.
fn session_of(access_token: &str) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct Session {
        sid: Uuid,
    }
    let claims = access_token.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let session: Session = serde_json::from_slice(&claims).ok()?;
    Some(session.sid)
}

impl<'a> FromRequest<'a> for Page {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let verification: &Verification = request.data().expect("installed with the API");
        Ok(Self {
            refresh_token: cookie(request, REFRESH_COOKIE).map(SecretString::from),
            session_id: cookie(request, ACCESS_COOKIE).and_then(session_of),
            device_token: cookie(request, DEVICE_COOKIE).map(SecretString::from),
            vouched: verification.origins.vouch_for(request.headers()),
        })
    }
}
