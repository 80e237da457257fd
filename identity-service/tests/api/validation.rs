//! Other services and proxies ask identity about tokens.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shared::{clock::Clock, service_token::Signer};
use stack::{Addresses, forgery::Key};
use time::Duration;

use crate::{
    device::{Tokens, befall, claims, unauthorized},
    gate::FATES,
    replica::Region,
    service::{Answer, Service, sent},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// The service key of that service of the test run.
fn signer(service: &str) -> Signer {
    let file = format!("secrets/{service}_service_key.pem");
    let pem = std::fs::read_to_string(Addresses::of_the_test_run().stack_dir.join(file));
    Signer::from_pem(service, &pem.expect("the stack makes one")).expect("a key")
}

pub(crate) fn service_token(service: &str, audience: &'static str) -> String {
    signer(service).token(audience, Clock::system().now())
}

impl Service {
    fn introspection(&self) -> RequestBuilder {
        let token = service_token("journal", "identity");
        self.request(Method::POST, "/api/auth/introspect")
            .bearer_auth(token)
    }

    /// `token` in a form; none of our tokens needs an escape there.
    pub(crate) async fn introspect(&self, token: &str) -> Answer {
        let form = format!("token={token}");
        let request = self.introspection().header("content-type", FORM);
        sent(request.body(form)).await
    }

    pub(crate) async fn judged(&self, access_token: &str) -> Answer {
        let request = self.request(Method::GET, "/api/auth/verify");
        sent(request.bearer_auth(access_token)).await
    }
}

/// Exactly the answer about a token that does not count.
fn assert_inactive(answer: &Answer, what: &str) {
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"active":false}"#),
        "{what}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

async fn logged_in(identity: &Service) -> Tokens {
    identity.logged_in(&identity.person().await).await
}

#[tokio::test]
async fn of_a_token_that_counts_a_service_learns_what_it_says() {
    let identity = Service::of_the_test_run();
    let tokens = logged_in(&identity).await;
    let answer = identity.introspect(&tokens.access).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut expected = claims(&tokens.access);
    expected["active"] = true.into();
    expected["token_type"] = "Bearer".into();
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_proxy_learns_whose_request_it_is() {
    let identity = Service::of_the_test_run();
    let tokens = logged_in(&identity).await;
    let answer = identity.judged(&tokens.access).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let said = claims(&tokens.access);
    assert_eq!(answer.header("x-user-id"), said["sub"].as_str());
    assert_eq!(answer.header("x-session-id"), said["sid"].as_str());
    let time = said["auth_time"].to_string();
    assert_eq!(answer.header("x-auth-time"), Some(time.as_str()));
    assert_eq!(answer.header("x-auth-methods"), Some("pwd"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_token_counts_no_longer_than_its_session() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (ended, other) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    assert_eq!(identity.judged(&ended.access).await.status, 200);
    assert_eq!(identity.logout(&ended.access).await.status, 204);
    // The very next request: nothing is remembered.
    let answer = identity.judged(&ended.access).await;
    assert_eq!(answer.problem(), unauthorized("session_ended"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some(r#"Bearer error="invalid_token""#)
    );
    assert_eq!(answer.header("x-user-id"), None);
    assert_inactive(&identity.introspect(&ended.access).await, "logged out");
    assert_eq!(identity.judged(&other.access).await.status, 200);
    assert_eq!(
        identity.introspect(&other.access).await.json()["active"],
        true
    );
}

#[tokio::test]
async fn a_token_counts_no_longer_than_its_account() {
    let identity = Service::of_the_test_run();
    for fate in FATES {
        let tokens = logged_in(&identity).await;
        assert_eq!(
            identity.introspect(&tokens.access).await.json()["active"],
            true
        );
        befall(&identity, &tokens, fate).await;
        assert_inactive(&identity.introspect(&tokens.access).await, fate);
        let answer = identity.judged(&tokens.access).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"), "{fate}");
    }
}

#[tokio::test]
async fn a_token_counts_no_longer_than_it_says() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let tokens = logged_in(identity).await;
    region.clock.advance(Duration::minutes(15));
    let answer = identity.judged(&tokens.access).await;
    assert_eq!(answer.problem(), unauthorized("token_expired"));
    // The service's own token is of the true time, which is past here.
    let token = signer("journal").token("identity", region.clock.now());
    let request = identity.request(Method::POST, "/api/auth/introspect");
    let request = request.bearer_auth(token).header("content-type", FORM);
    let answer = sent(request.body(format!("token={}", tokens.access))).await;
    assert_inactive(&answer, "expired");
}

#[tokio::test]
async fn what_is_no_access_token_is_never_active() {
    let identity = Service::of_the_test_run();
    let tokens = logged_in(&identity).await;
    for (what, token) in [
        // Good where it belongs, and nothing to be let in by.
        ("a refresh token", tokens.refresh.clone()),
        ("a service token", service_token("journal", "identity")),
        ("a made-up token", "nonsense".to_owned()),
        ("a token cut short", tokens.access[..100].to_owned()),
    ] {
        assert_inactive(&identity.introspect(&token).await, what);
        for hint in ["refresh_token", "access_token", "", "made_up"] {
            let form = format!("token={token}&token_type_hint={hint}");
            let request = identity.introspection().header("content-type", FORM);
            assert_inactive(&sent(request.body(form)).await, what);
        }
    }
    // Nor does the hint take anything from a good one.
    let form = format!(
        "token_type_hint=refresh_token&token={}&more=1",
        tokens.access
    );
    let request = identity.introspection().header("content-type", FORM);
    assert_eq!(sent(request.body(form)).await.json()["active"], true);
    assert_eq!(identity.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn a_proxy_is_told_of_a_wrong_type_of_token() {
    let identity = Service::of_the_test_run();
    let tokens = logged_in(&identity).await;
    for token in [tokens.refresh, service_token("journal", "identity")] {
        let answer = identity.judged(&token).await;
        assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
    }
    let answer = sent(identity.request(Method::GET, "/api/auth/verify")).await;
    assert_eq!(answer.problem(), unauthorized("unauthorized"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn a_browser_session_passes_no_proxy_by_its_cookie_alone_nor_by_anything_else() {
    let identity = Service::of_the_test_run();
    let browser = identity.browser(&identity.person().await).await;
    let asked = || browser.request(&identity, Method::GET, "/api/auth/verify");
    for request in [asked(), asked().header("X-CSRF-Token", &browser.csrf)] {
        let answer = sent(request).await;
        assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
        assert_eq!(answer.header("x-user-id"), None);
    }
    // The same cookie reads what is the person's own.
    let me = browser.request(&identity, Method::GET, "/api/auth/me");
    assert_eq!(sent(me).await.status, 200);
}

#[tokio::test]
async fn only_trusted_services_may_ask() {
    let identity = Service::of_the_test_run();
    let tokens = logged_in(&identity).await;
    let form = format!("token={}", tokens.access);
    let now = Clock::system().now();
    let stranger = Signer::from_pem("journal", &Key::new().pem()).expect("a key");
    let posing = {
        let file = "secrets/journal_service_key.pem";
        let pem = std::fs::read_to_string(Addresses::of_the_test_run().stack_dir.join(file));
        Signer::from_pem("identity", &pem.expect("a key")).expect("a key")
    };
    let past = signer("journal").token("identity", now - Duration::minutes(2));
    for (credential, code) in [
        (None, "unauthorized"),
        (Some(tokens.access.clone()), "wrong_token_type"),
        (Some(tokens.refresh.clone()), "wrong_token_type"),
        (Some("nonsense".to_owned()), "invalid_service_token"),
        (
            Some(service_token("journal", "vault")),
            "invalid_service_token",
        ),
        (
            Some(stranger.token("identity", now)),
            "invalid_service_token",
        ),
        (Some(posing.token("identity", now)), "invalid_service_token"),
        (Some(past), "service_token_expired"),
    ] {
        let mut request = identity.request(Method::POST, "/api/auth/introspect");
        if let Some(credential) = &credential {
            request = request.bearer_auth(credential);
        }
        let request = request.header("content-type", FORM).body(form.clone());
        let answer = sent(request).await;
        assert_eq!(answer.problem(), unauthorized(code), "{credential:?}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.is_some_and(|it| it.starts_with("Bearer")));
    }
}

#[tokio::test]
async fn a_question_has_one_form() {
    let identity = Service::of_the_test_run();
    for (kind, body, status, code) in [
        (FORM, "", 400, "invalid_request"),
        (FORM, "token=", 400, "invalid_request"),
        (FORM, "token=a&token=b", 400, "invalid_request"),
        (
            "application/json",
            r#"{"token":"a"}"#,
            415,
            "unsupported_media_type",
        ),
        ("text/plain", "token=a", 415, "unsupported_media_type"),
    ] {
        let request = identity.introspection().header("content-type", kind);
        let answer = sent(request.body(body)).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{kind} {body}");
    }
    let long = format!("token={}", "a".repeat(70_000));
    let request = identity.introspection().header("content-type", FORM);
    assert_eq!(sent(request.body(long)).await.status, 413);
    let odd = "token=%00%ff%F0%9F%94%92+%zz";
    let request = identity.introspection().header("content-type", FORM);
    assert_inactive(&sent(request.body(odd)).await, odd);
}

#[tokio::test]
async fn where_no_service_is_trusted_nobody_may_ask() {
    let region = Region::with(&[("SERVICE_JWKS_FILE", "")]).await;
    let running = region.start().await;
    let answer = running.service.introspect("a").await;
    assert_eq!(answer.problem(), unauthorized("invalid_service_token"));
}

#[tokio::test]
async fn the_answers_are_those_of_the_document() {
    let identity = Service::of_the_test_run();
    let document = sent(identity.request(Method::GET, "/openapi.json"))
        .await
        .json();
    let asked = &document["paths"]["/api/auth/introspect"]["post"];
    let kinds = asked["requestBody"]["content"].as_object();
    assert_eq!(
        kinds.map(|kinds| kinds.keys().collect::<Vec<_>>()),
        Some(vec![&FORM.to_owned()])
    );
    assert_eq!(asked["security"], json!([{ "service_token": [] }]));
    let listed = |status: &str| -> String {
        let listed = asked["responses"][status]["description"].as_str();
        listed.unwrap_or_default().to_owned()
    };
    for code in [
        "unauthorized",
        "invalid_service_token",
        "service_token_expired",
        "wrong_token_type",
    ] {
        assert!(listed("401").contains(code), "{code}");
    }
    assert!(!listed("400").contains("malformed_json"));
    // RFC 6749 §3.2 lets further parameters pass, so the schema must.
    let schema = &document["components"]["schemas"]["Introspect"];
    assert_eq!(schema["additionalProperties"], Value::Null);
}
