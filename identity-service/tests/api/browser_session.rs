//! Sessions whose tokens live in cookies, and pages that would like to use them.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use stack::Addresses;

use crate::{
    accounts::{somebody, token},
    device::{Person, claims, unauthorized},
    passwords::NEW_PASSWORD,
    replica::Region,
    service::{Answer, Service, sent},
};

const ACCESS: &str = "__Host-ks_access";
const REFRESH: &str = "__Secure-ks_refresh";
const DEVICE: &str = "__Secure-ks_device";
const EVIL: &str = "https://evil.example";
/// What a browser says of a request of another site's page.
const FOREIGN: [(&str, &str); 4] = [
    ("Origin", EVIL),
    ("Origin", "null"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Site", "same-site"),
];

/// What a browser keeps of one session, and what its page knows.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) access: String,
    refresh: String,
    pub(crate) csrf: String,
}

impl Answer {
    /// What the device is given for its next login; no script reads it.
    pub(crate) fn is_in_its_cookie(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.json().get("device_token"), None);
        cookie(self, DEVICE).0
    }
}

impl Browser {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let csrf = answer.json()["csrf_token"].as_str().map(str::to_owned);
        Self {
            access: cookie(answer, ACCESS).0,
            refresh: cookie(answer, REFRESH).0,
            csrf: csrf.expect("a CSRF token"),
        }
    }

    /// The same, where nothing but the CSRF token is in the body and no script gets at the rest.
    fn of_cookies_alone(answer: &Answer) -> Self {
        for (name, path, lasts) in [
            (ACCESS, "/", 604_800),
            (REFRESH, "/api/auth/refresh", 604_800),
            (DEVICE, "/api/auth/login", 15_552_000),
        ] {
            let (value, mut attributes) = cookie(answer, name);
            assert!(!answer.text.contains(&value), "{name} is in the body");
            let mut wanted = [
                format!("Path={path}"),
                format!("Max-Age={lasts}"),
                "HttpOnly".to_owned(),
                "Secure".to_owned(),
                "SameSite=Strict".to_owned(),
            ];
            attributes.sort();
            wanted.sort();
            // These and no other: no `Domain`.
            assert_eq!(attributes, wanted, "{name}");
        }
        for absent in [
            "access_token",
            "refresh_token",
            "token_type",
            "device_token",
        ] {
            assert_eq!(answer.json().get(absent), None);
        }
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        Self::of(answer)
    }

    /// A request with the cookies that a browser would send there.
    pub(crate) fn request(&self, identity: &Service, method: Method, path: &str) -> RequestBuilder {
        let mut cookies = format!("{ACCESS}={}", self.access);
        if path == "/api/auth/refresh" {
            cookies = format!("{cookies}; {REFRESH}={}", self.refresh);
        }
        identity.request(method, path).header("Cookie", cookies)
    }

    pub(crate) async fn refreshed(&self, identity: &Service) -> Answer {
        let request = self.request(identity, Method::POST, "/api/auth/refresh");
        sent(request.json(&json!({}))).await
    }

    pub(crate) fn post(&self, identity: &Service, path: &str) -> RequestBuilder {
        self.request(identity, Method::POST, path)
            .header("X-CSRF-Token", &self.csrf)
    }
}

/// Value and attributes of a cookie that an answer sets once.
fn cookie(answer: &Answer, name: &str) -> (String, Vec<String>) {
    let lines = answer.headers.get_all("set-cookie").iter();
    let mut found = lines.filter_map(|line| {
        let line = line.to_str().expect("cookies are text");
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        let mut parts = value.split("; ").map(str::to_owned);
        Some((parts.next().unwrap_or_default(), parts.collect()))
    });
    let first = found.next().unwrap_or_else(|| panic!("no cookie {name}"));
    assert!(found.next().is_none(), "{name} is set twice");
    first
}

impl Service {
    fn cookie_login(&self, person: &Person) -> RequestBuilder {
        let body = json!({
            "email": person.email, "password": person.password, "session": "cookie",
        });
        self.request(Method::POST, "/api/auth/login").json(&body)
    }

    pub(crate) async fn browser(&self, person: &Person) -> Browser {
        Browser::of(&sent(self.cookie_login(person)).await)
    }
}

#[tokio::test]
async fn tokens_go_into_cookies_that_no_script_reads_and_into_nothing_else() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let browser = Browser::of_cookies_alone(&sent(identity.cookie_login(&ada)).await);
    let me = sent(browser.request(&identity, Method::GET, "/api/auth/me")).await;
    assert_eq!(me.json()["email"], ada.email);
    let plain = identity.login(&ada.email, &ada.password).await;
    assert!(plain.header("set-cookie").is_none());
    assert_eq!(plain.json().get("csrf_token"), None);
}

#[tokio::test]
async fn changing_anything_takes_the_csrf_token_of_this_very_session() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (browser, other) = (identity.browser(&ada).await, identity.browser(&ada).await);
    let logout = || browser.request(&identity, Method::POST, "/api/auth/logout");
    let csrf = |token: &str| logout().header("X-CSRF-Token", token);
    let claim = claims(&browser.access)["csrf"].as_str().map(str::to_owned);
    for refused in [
        logout(),
        csrf(""),
        csrf(&other.csrf),
        csrf(&claim.expect("a claim")),
    ] {
        let answer = sent(refused).await;
        assert_eq!(answer.problem(), (403, "csrf_token_invalid".to_owned()));
    }
    let evil = sent(csrf(&browser.csrf).header("Origin", EVIL)).await;
    assert_eq!(evil.problem(), (403, "cross_site_request".to_owned()));
    let told = sent(browser.request(&identity, Method::GET, "/api/csrf-token")).await;
    assert_eq!(told.json()["csrf_token"], browser.csrf);

    let answer = sent(browser.post(&identity, "/api/auth/logout")).await;
    assert_eq!(answer.status, 204);
    for name in [ACCESS, REFRESH] {
        let (value, attributes) = cookie(&answer, name);
        assert_eq!(value, "");
        assert!(
            attributes.contains(&"Max-Age=0".to_owned()),
            "{attributes:?}"
        );
    }
    let over = browser.refreshed(&identity).await;
    assert_eq!(over.problem(), unauthorized("session_ended"));
    let gone = sent(other.post(&identity, "/api/auth/logout-all")).await;
    assert_eq!(gone.status, 204);
    assert_eq!(cookie(&gone, ACCESS).0, "");
}

#[tokio::test]
async fn another_sites_page_neither_logs_in_nor_refreshes() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let browser = identity.browser(&ada).await;
    let refresh = || {
        let request = browser.request(&identity, Method::POST, "/api/auth/refresh");
        request.json(&json!({}))
    };
    let own = Addresses::of_the_test_run().api.identity;
    for (name, value) in FOREIGN {
        for request in [identity.cookie_login(&ada), refresh()] {
            let answer = sent(request.header(name, value)).await;
            assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()));
            assert!(answer.header("set-cookie").is_none());
        }
    }
    // HTTP/2 has no Host.
    let over_http2 = identity.over_http2();
    for (origin, status) in [("null", 403), (EVIL, 403), ("https://", 403), (&own, 200)] {
        let login = over_http2.cookie_login(&ada).header("Origin", origin);
        assert_eq!(sent(login).await.status, status, "{origin}");
    }
    // What a form of another site could send is no JSON.
    let form = browser.request(&identity, Method::POST, "/api/auth/refresh");
    let answer = sent(form.header("Content-Type", "text/plain").body("{}")).await;
    assert_eq!(answer.status, 415);
    assert_eq!(browser.refreshed(&identity).await.status, 200);
}

#[tokio::test]
async fn a_second_factor_opens_a_session_in_cookies_but_not_for_another_sites_page() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let body = json!({
        "mfa_token": identity.challenge(&ada.person).await,
        "code": region.code(&ada.authenticator),
        "session": "cookie",
    });
    let shown = || {
        let request = identity.request(Method::POST, "/api/auth/verify-mfa");
        request.json(&body)
    };
    for (name, value) in FOREIGN {
        let answer = sent(shown().header(name, value)).await;
        assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()));
        assert!(answer.header("set-cookie").is_none());
    }
    // More often than a challenge may be tried, and neither it nor the code is used up.
    let browser = Browser::of_cookies_alone(&sent(shown()).await);
    let amr = claims(&browser.access)["amr"].clone();
    assert_eq!(amr, json!(["pwd", "otp"]));
    let logout = sent(browser.post(identity, "/api/auth/logout")).await;
    assert_eq!(logout.status, 204);
}

#[tokio::test]
async fn a_refresh_renews_the_cookies_and_tells_a_reloaded_page_its_csrf_token() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let first = identity.browser(&ada).await;
    let answer = first.refreshed(&identity).await;
    let second = Browser::of(&answer);
    assert_ne!(first.refresh, second.refresh);
    assert_eq!(first.csrf, second.csrf);
    assert_eq!(answer.json().get("refresh_token"), None);
    // Two tabs at once: the same next cookie.
    assert_eq!(
        Browser::of(&first.refreshed(&identity).await).refresh,
        second.refresh
    );
    let third = Browser::of(&second.refreshed(&identity).await);
    // A thief with the first one ends it for everybody.
    assert_eq!(first.refreshed(&identity).await.status, 401);
    let over = third.refreshed(&identity).await;
    assert_eq!(over.problem(), unauthorized("session_ended"));
}

#[tokio::test]
async fn a_refresh_token_counts_only_where_its_session_keeps_it_and_an_app_token_in_no_cookie() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let browser = identity.browser(&ada).await;
    let app = identity.logged_in(&ada).await;
    let read_out = identity.refresh(&browser.refresh).await;
    assert_eq!(read_out.problem(), unauthorized("wrong_token_type"));
    let planted = Browser {
        access: app.access.clone(),
        refresh: app.refresh.clone(),
        csrf: browser.csrf.clone(),
    };
    let answer = planted.refreshed(&identity).await;
    assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
    let me = sent(planted.request(&identity, Method::GET, "/api/auth/me")).await;
    assert_eq!(me.problem(), unauthorized("wrong_token_type"));
    let request = identity.request(Method::GET, "/api/csrf-token");
    let needless = sent(request.bearer_auth(&app.access)).await;
    assert_eq!(needless.problem(), (409, "no_cookie_session".to_owned()));
    let nobody = identity.post("refresh", &json!({})).await;
    assert_eq!(nobody.problem(), unauthorized("invalid_refresh_token"));
    // Neither was harmed.
    assert_eq!(browser.refreshed(&identity).await.status, 200);
    assert_eq!(identity.refresh(&app.refresh).await.status, 200);
}

#[tokio::test]
async fn a_refresh_cookie_that_a_sibling_planted_takes_no_browser_into_another_session() {
    let identity = Service::of_the_test_run();
    let (ada, trudy) = (identity.person().await, identity.person().await);
    let (victim, thief) = (identity.browser(&ada).await, identity.browser(&trudy).await);
    let refresh = async |cookies: String| {
        let request = identity.request(Method::POST, "/api/auth/refresh");
        sent(request.header("Cookie", cookies).json(&json!({}))).await
    };
    let planted = format!("{REFRESH}={}", thief.refresh);
    for cookies in [
        planted.clone(),
        format!("{ACCESS}={}; {planted}", victim.access),
        format!(
            "{ACCESS}={}; {REFRESH}={}; {planted}",
            victim.access, victim.refresh
        ),
        format!("{ACCESS}=a.b.c; {planted}"),
    ] {
        let answer = refresh(cookies).await;
        assert_eq!(answer.problem(), unauthorized("invalid_refresh_token"));
    }
    for whole in [victim, thief] {
        assert_eq!(whole.refreshed(&identity).await.status, 200);
    }
}

#[tokio::test]
async fn a_browser_that_logged_in_before_gets_in_while_a_stranger_hammers_the_address() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let first = sent(identity.cookie_login(&ada)).await;
    assert_eq!(first.json().get("device_token"), None);
    let (device, attributes) = cookie(&first, DEVICE);
    for wanted in [
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/api/auth/login",
    ] {
        assert!(attributes.iter().any(|it| it == wanted), "{wanted}");
    }
    for _ in 0..5 {
        assert_eq!(identity.mistyped(&ada).await.status, 401);
    }
    assert_eq!(sent(identity.cookie_login(&ada)).await.status, 429);
    let known = |device: &str| {
        let cookie = format!("{DEVICE}={device}");
        identity.cookie_login(&ada).header("Cookie", cookie)
    };
    assert_eq!(sent(known("kst_d_made-up")).await.status, 429);
    Browser::of(&sent(known(&device)).await);
}

#[tokio::test]
async fn no_table_holds_a_csrf_token() {
    let identity = Service::of_the_test_run();
    let browser = identity.browser(&identity.person().await).await;
    let db = identity.database().await;
    let row = db
        .query_one("SELECT string_agg(t::text, ' ') FROM sessions t", &[])
        .await;
    let dump: String = row.expect("a dump").get(0);
    let claim: Value = claims(&browser.access)["csrf"].clone();
    for secret in [&browser.csrf, claim.as_str().expect("a claim")] {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode(secret)));
    }
}

#[tokio::test]
async fn a_page_that_shows_a_mailed_token_gets_its_device_cookie_and_no_other_site_does() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (reset, moved) = (identity.mailed_reset(&ada.email).await, somebody());
    let signed_up = somebody();
    let verification = identity.mailed_sign_up(&signed_up, &ada.password).await;
    let in_cookies = |path: &'static str, mut body: Value, page: (&'static str, &'static str)| {
        body["session"] = json!("cookie");
        let request = identity.request(Method::POST, &format!("/api/auth/{path}"));
        sent(request.header(page.0, page.1).json(&body))
    };
    let own = ("Sec-Fetch-Site", "same-origin");

    let replaced = json!({ "token": reset, "new_password": NEW_PASSWORD });
    for page in FOREIGN {
        let answer = in_cookies("password/reset", replaced.clone(), page).await;
        assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()));
    }
    // Which used nothing up.
    let by_mail = in_cookies("password/reset", replaced, own).await;
    let device = by_mail.is_in_its_cookie();
    let session = identity.login_from(&device, &ada.email, NEW_PASSWORD);
    let tokens = session.await.tokens();

    let wish = json!({ "password": NEW_PASSWORD, "new_email": moved });
    let asked = identity.authorised(Method::POST, "email", &tokens, &wish);
    assert_eq!(asked.await.status, 202);
    let confirmation = json!({ "token": token(&identity.mail_number(&moved, 1).await) });
    let verified = json!({ "token": verification });
    for (path, body, email) in [
        ("email/confirm", confirmation, &moved),
        ("verify-email", verified, &signed_up),
    ] {
        for page in FOREIGN {
            let answer = in_cookies(path, body.clone(), page).await;
            assert_eq!(answer.problem(), (403, "cross_site_request".to_owned()));
        }
        let device = in_cookies(path, body, own).await.is_in_its_cookie();
        identity.lock_out(email).await;
        let password = if path == "verify-email" {
            &ada.password
        } else {
            NEW_PASSWORD
        };
        let login = identity.login_from(&device, email, password).await;
        login.tokens();
    }
}

#[tokio::test]
async fn a_browser_loses_the_cookies_of_a_session_that_ended_elsewhere_when_it_logs_out() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (here, there) = (identity.browser(&ada).await, identity.browser(&ada).await);
    let everywhere = sent(there.post(&identity, "/api/auth/logout-all")).await;
    assert_eq!(everywhere.status, 204);
    let answer = sent(here.post(&identity, "/api/auth/logout")).await;
    assert_eq!(answer.problem(), unauthorized("session_ended"));
    for name in [ACCESS, REFRESH] {
        let (value, attributes) = cookie(&answer, name);
        assert_eq!(value, "");
        assert!(attributes.contains(&"Max-Age=0".to_owned()), "{name}");
    }
}
