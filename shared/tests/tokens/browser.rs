//! Requests that a browser makes, for pages that may act for the person and for pages that may not.

use std::sync::Arc;

use poem::EndpointExt;
use poem_openapi::{OpenApi, OpenApiService, payload::PlainText};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use shared::{
    access_token::{
        ACCESS_COOKIE, CSRF_HEADER, Caller, KeySet, SCHEMES, Verification, Verifier, csrf_claim,
    },
    clock::Clock,
    jwk::JwkSet,
    openapi,
    serve::{AllowedOrigins, Edge, Limits, Server, Shutdown, Trigger},
    settings::Reader,
};

use crate::signing::{AUDIENCE, ISSUER, NOW, Signing, access_claims, with};

const CSRF: &str = "kst_c_the-token-of-this-session";
const APP: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";

struct Diary;

#[expect(
    clippy::unused_async,
    reason = "the macro wants operations to be async"
)]
#[OpenApi]
impl Diary {
    /// Read
    #[oai(path = "/diary", method = "get", operation_id = "read")]
    async fn read(&self, caller: Caller) -> PlainText<String> {
        PlainText(caller.user_id().to_string())
    }

    /// Write
    #[oai(path = "/diary", method = "post", operation_id = "write")]
    async fn write(&self, caller: Caller) -> PlainText<String> {
        PlainText(caller.user_id().to_string())
    }
}

/// A service that takes access tokens, and one signer it trusts.
struct Site {
    url: String,
    own_origin: String,
    signer: Signing,
    http: reqwest::Client,
    _trigger: Trigger,
}

impl Site {
    async fn start() -> Self {
        let signer = Signing::new();
        let verifier = Verifier::local(ISSUER, AUDIENCE);
        let keys = vec![signer.jwk(None)];
        verifier.replace_keys(KeySet::from_jwks(&JwkSet { keys }).expect("an Ed25519 key"));
        let lookup = |name: &str| (name == "ALLOWED_ORIGINS").then(|| APP.to_owned());
        let mut env = Reader::new(&lookup);
        let origins = AllowedOrigins::read(&mut env).expect("an origin");
        let service = OpenApiService::new(Diary, "diary", "1");
        let document = openapi::document(&service, SCHEMES, &[]);
        let verification = Verification {
            verifier: Arc::new(verifier),
            clock: Clock::manual(NOW),
            origins: origins.clone(),
        };
        let edge = Edge::new(service.data(verification), &document).with_cors(origins);
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(address, Limits::default())
            .await
            .expect("a port");
        let own_origin = format!("http://{}", server.local_addr());
        let (trigger, shutdown) = Shutdown::manual();
        tokio::spawn(server.run(edge, shutdown));
        Self {
            url: format!("{own_origin}/diary"),
            own_origin,
            signer,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            _trigger: trigger,
        }
    }

    fn token(&self, csrf: Option<&str>) -> String {
        let claims = with(access_claims(), "csrf", csrf.map(csrf_claim));
        self.signer.sign(&self.signer.header("at+jwt"), &claims)
    }

    fn plain(&self, method: Method) -> RequestBuilder {
        self.http.request(method, &self.url)
    }

    /// What the person's own page sends.
    fn browser(&self, method: Method) -> RequestBuilder {
        let cookie = format!("{ACCESS_COOKIE}={}", self.token(Some(CSRF)));
        self.plain(method).header("Cookie", cookie)
    }
}

async fn code(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_page_of_ours_reads_and_writes_with_the_cookie() {
    let site = Site::start().await;
    let own = site.own_origin.clone();
    assert_eq!(code(site.browser(Method::GET)).await.0, 200);
    let write = || site.browser(Method::POST).header(CSRF_HEADER, CSRF);
    for request in [
        write(),
        write().header("Origin", APP),
        write()
            .header("Origin", APP)
            .header("Sec-Fetch-Site", "same-site"),
        write()
            .header("Origin", &own)
            .header("Sec-Fetch-Site", "same-origin"),
        write().header("Sec-Fetch-Site", "same-origin"),
    ] {
        assert_eq!(code(request).await.0, 200);
    }
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let site = Site::start().await;
    let write = || site.browser(Method::POST);
    let another = csrf_claim(CSRF);
    for request in [
        write(),
        write().header(CSRF_HEADER, ""),
        write().header(CSRF_HEADER, "kst_c_the-token-of-another-session"),
        // The claim is public to whoever sees a token; the token is not.
        write().header(CSRF_HEADER, &another),
        write().header("Origin", APP),
    ] {
        assert_eq!(code(request).await, refused(403, "csrf_token_invalid"));
    }
}

#[tokio::test]
async fn another_sites_page_changes_nothing_even_if_it_knew_the_csrf_token() {
    let site = Site::start().await;
    let write = || site.browser(Method::POST).header(CSRF_HEADER, CSRF);
    for request in [
        write().header("Origin", EVIL),
        write().header("Origin", "null"),
        write().header("Origin", format!("{APP}.evil.example")),
        write().header("Sec-Fetch-Site", "cross-site"),
        write().header("Sec-Fetch-Site", "same-site"),
        write()
            .header("Origin", EVIL)
            .header("Sec-Fetch-Site", "same-origin"),
    ] {
        assert_eq!(code(request).await, refused(403, "cross_site_request"));
    }
}

#[tokio::test]
async fn a_bearer_token_needs_no_csrf_token_and_a_bad_one_is_not_saved_by_a_cookie() {
    let site = Site::start().await;
    let token = site.token(None);
    let bearer = site.plain(Method::POST).bearer_auth(&token);
    assert_eq!(code(bearer.header("Origin", EVIL)).await.0, 200);
    let both = |value: &str| site.browser(Method::GET).header("Authorization", value);
    assert_eq!(
        code(both("Bearer e30.e30.e30")).await,
        refused(401, "invalid_token")
    );
    for no_bearer in ["Basic YTpi", "Bearer", "", &token] {
        assert_eq!(
            code(both(no_bearer)).await,
            refused(401, "unauthorized"),
            "{no_bearer}"
        );
    }
}

#[tokio::test]
async fn what_is_not_exactly_the_cookie_of_a_browser_session_is_none() {
    let site = Site::start().await;
    let good = site.token(Some(CSRF));
    let with_cookie = |cookie: String| site.plain(Method::GET).header("Cookie", cookie);
    for cookie in [
        String::new(),
        format!("ks_access={good}"),
        format!("__host-ks_access={good}"),
        format!("x{ACCESS_COOKIE}={good}"),
        // Twice: whichever it was meant to be, somebody else put the other there.
        format!("{ACCESS_COOKIE}={good}; {ACCESS_COOKIE}={good}"),
    ] {
        assert_eq!(
            code(with_cookie(cookie)).await,
            refused(401, "unauthorized")
        );
    }
    let of_an_app = format!("{ACCESS_COOKIE}={}", site.token(None));
    assert_eq!(
        code(with_cookie(of_an_app)).await,
        refused(401, "wrong_token_type")
    );
    let beside_others = format!("theme=dark; {ACCESS_COOKIE}={good};lang=de");
    assert_eq!(code(with_cookie(beside_others)).await.0, 200);
}

fn said<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

#[tokio::test]
async fn only_a_named_origin_may_read_answers_and_failures() {
    let site = Site::start().await;
    let asked = |origin: &str, method: Method| site.plain(method).header("Origin", origin);
    let allowed = asked(APP, Method::GET).send().await.expect("an answer");
    assert_eq!(allowed.status(), 401);
    assert_eq!(said(&allowed, "access-control-allow-origin"), Some(APP));
    assert_eq!(
        said(&allowed, "access-control-allow-credentials"),
        Some("true")
    );
    assert!(said(&allowed, "access-control-expose-headers").is_some());
    assert_eq!(said(&allowed, "vary"), Some("Origin"));
    let evil = asked(EVIL, Method::GET).send().await.expect("an answer");
    assert_eq!(said(&evil, "vary"), Some("Origin"));
    for name in evil.headers().keys() {
        assert!(!name.as_str().starts_with("access-control"), "{name}");
    }

    let preflight = |origin: &str| {
        let request = asked(origin, Method::OPTIONS);
        request.header("Access-Control-Request-Method", "POST")
    };
    let allowed = preflight(APP).send().await.expect("an answer");
    assert_eq!(allowed.status(), 204);
    assert_eq!(
        said(&allowed, "access-control-allow-methods"),
        Some("GET, HEAD, POST")
    );
    let headers = said(&allowed, "access-control-allow-headers").unwrap_or_default();
    assert!(headers.contains(CSRF_HEADER), "{headers}");
    let evil = preflight(EVIL).send().await.expect("an answer");
    assert_eq!(evil.status(), 405);
    assert_eq!(said(&evil, "access-control-allow-origin"), None);
}
