//! A session in cookies in a real browser: what the page of the service's own origin and that of a named frontend can
//! do with it, and what the page of a stranger and that of a sibling (another host of the same site, to which
//! `SameSite` gives no answer) cannot.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use stack::{Failure, Person, Progress, Service, Stack, ports, until};

use super::Outcome;
use super::browser::Browser;
use super::nginx::Nginx;

const ACCESS: &str = "__Host-ks_access";
const REFRESH: &str = "__Secure-ks_refresh";
/// The path to which alone the refresh token goes.
const REFRESH_PATH: &str = "/api/auth/refresh";
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn judge(stack: &mut Stack, progress: Progress) -> Outcome {
    let nginx = match Nginx::program(progress) {
        Ok(nginx) => nginx,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let browser = match Browser::start(progress).await {
        Ok(browser) => browser,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let judged = look(&browser, &nginx, stack).await;
    match (judged, browser.quit().await) {
        (Ok(complaints), Ok(())) => {
            Outcome::of(&complaints, format!("(Chromium {})", browser.version()))
        }
        (Err(failure), _) | (_, Err(failure)) => Outcome::Failed(failure.to_string()),
    }
}

async fn look(browser: &Browser, nginx: &Path, stack: &mut Stack) -> Result<Vec<String>, Failure> {
    let sites = Sites::new(ports::free()?);
    stack.set("ALLOWED_ORIGINS", &sites.named);
    for service in [Service::Identity, Service::Journal] {
        stack.start_service(service).await?;
    }
    let _nginx = sites.serve(nginx, stack).await?;
    let trudy = Person::try_new(stack.addresses(), "trudy").await?;
    let mut case = Case {
        browser,
        ada: Person::try_new(stack.addresses(), "ada").await?,
        planted: refresh_cookie_of(&trudy, &stack.addresses().api.identity).await?,
        trudy,
        sites,
        written: 0,
        complaints: Vec::new(),
    };
    case.log_in().await?;
    case.own_page().await?;
    case.named_page().await?;
    for page in [case.sites.stranger.clone(), case.sites.sibling.clone()] {
        case.fetches_of(&page).await?;
        case.forms_of(&page).await?;
        case.frame_of(&page).await?;
    }
    case.cookies_of_a_sibling().await?;
    case.log_out().await?;
    case.session_of_a_sibling().await?;
    Ok(case.complaints)
}

/// The origins that take part. All but `app` serve an empty page and nothing else.
struct Sites {
    port: u16,
    /// Both services and a page, behind one host.
    app: String,
    /// The frontend in `ALLOWED_ORIGINS`.
    named: String,
    /// Of the same site as `app`, and not named.
    sibling: String,
    stranger: String,
}

impl Sites {
    fn new(port: u16) -> Self {
        let origin = |host: &str| format!("https://{host}:{port}");
        Self {
            port,
            app: origin("app.keystead.test"),
            named: origin("named.keystead.test"),
            sibling: origin("sibling.keystead.test"),
            stranger: origin("stranger.test"),
        }
    }

    async fn serve(&self, nginx: &Path, stack: &Stack) -> Result<Nginx, Failure> {
        let port = self.port;
        let tls = stack.folder().join("tls");
        let tls = format!(
            "listen 127.0.0.1:{port} ssl; ssl_certificate {0}/vault.pem; ssl_certificate_key {0}/vault.key;",
            tls.display()
        );
        let page =
            "default_type text/html; return 200 '<!doctype html><title>A page</title><body>';";
        let (identity, journal) = (
            &stack.addresses().api.identity,
            &stack.addresses().api.journal,
        );
        let http = format!(
            "proxy_http_version 1.1;
             proxy_set_header Host $http_host;
             server {{
                 {tls} server_name app.keystead.test;
                 location = / {{ {page} }}
                 location / {{ proxy_pass {identity}; }}
                 location /api/entries {{ proxy_pass {journal}; }}
             }}
             server {{
                 {tls} server_name named.keystead.test sibling.keystead.test stranger.test;
                 location / {{ {page} }}
             }}"
        );
        Nginx::start(nginx, &stack.folder().join("browser"), &http, port).await
    }
}

struct Case<'a> {
    browser: &'a Browser,
    sites: Sites,
    ada: Person,
    trudy: Person,
    /// The refresh token of a session in cookies that is trudy's.
    planted: String,
    /// Entries that ada's pages wrote.
    written: usize,
    complaints: Vec<String>,
}

/// What a script saw of an answer: status 0 when the browser kept it from the page.
struct Seen(Value);

impl Seen {
    fn status(&self) -> u64 {
        self.0
            .get("status")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        let told = self.0.get("told").and_then(|told| told.get(name));
        told.and_then(Value::as_str).unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.status(), self.text("code"))
    }
}

impl Case<'_> {
    fn expect(&mut self, holds: bool, what: &str, seen: &impl fmt::Display) {
        if !holds {
            self.complaints.push(format!("{what}: {seen}"));
        }
    }

    /// `fetch` in the page that is open. `options` as the standard has them, with `body` as text.
    async fn fetch(&self, url: &str, options: Value) -> Result<Seen, Failure> {
        let script = format!(
            "try {{
                 const answer = await fetch({}, {options});
                 const text = await answer.text();
                 let told = null;
                 try {{ told = JSON.parse(text); }} catch {{ told = {{ text }}; }}
                 return {{ status: answer.status, told }};
             }} catch (error) {{
                 return {{ status: 0, told: {{ error: String(error) }} }};
             }}",
            json!(url)
        );
        let script = format!("return (async () => {{ {script} }})()");
        Ok(Seen(self.browser.evaluate(&script).await?))
    }

    async fn get(&self, url: &str) -> Result<Seen, Failure> {
        self.fetch(url, json!({ "credentials": "include" })).await
    }

    /// A request as a frontend makes it, with the CSRF token or without.
    async fn post(&self, url: &str, body: &Value, csrf: Option<&str>) -> Result<Seen, Failure> {
        let headers = match csrf {
            Some(csrf) => json!({ "Content-Type": "application/json", "X-CSRF-Token": csrf }),
            None => json!({ "Content-Type": "application/json" }),
        };
        let options = json!({
            "method": "POST", "credentials": "include", "headers": headers, "body": body.to_string(),
        });
        self.fetch(url, options).await
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        self.browser.open(&self.sites.app).await?;
        let login = self
            .post("/api/auth/login", &login(&self.ada), None)
            .await?;
        let tokens_kept = ["access_token", "refresh_token"].map(|it| login.text(it).is_empty());
        let good = login.status() == 200 && !login.text("csrf_token").is_empty();
        self.expect(
            good && tokens_kept == [true, true],
            "the page's login",
            &login,
        );
        let read = self.browser.evaluate("return document.cookie").await?;
        self.expect(read == json!(""), "a script reads cookies", &read);

        let cookies = self.browser.cookies().await?;
        self.expect(
            guarded(&cookies, ACCESS, "/"),
            "the cookie",
            &described(&cookies),
        );
        let strays = cookies.iter().any(|it| it["name"] == REFRESH);
        self.expect(
            !strays,
            "the refresh token goes everywhere",
            &described(&cookies),
        );
        self.browser
            .open(&format!("{}{REFRESH_PATH}", self.sites.app))
            .await?;
        let cookies = self.browser.cookies().await?;
        self.expect(
            guarded(&cookies, REFRESH, REFRESH_PATH),
            "the refresh cookie",
            &described(&cookies),
        );
        Ok(())
    }

    /// A page that was loaded anew: it has its cookies and nothing else.
    async fn own_page(&mut self) -> Result<(), Failure> {
        self.browser.open(&self.sites.app).await?;
        let renewed = self.post(REFRESH_PATH, &json!({}), None).await?;
        self.expect(renewed.status() == 200, "a refresh", &renewed);
        self.writes_with_csrf_token_alone("").await
    }

    /// The page of another origin that was named, over CORS.
    async fn named_page(&mut self) -> Result<(), Failure> {
        self.browser.open(&self.sites.named).await?;
        let app = self.sites.app.clone();
        let me = self.get(&format!("{app}/api/auth/me")).await?;
        self.expect(me.text("id") == self.ada.id, "a named page's me", &me);
        self.writes_with_csrf_token_alone(&app).await
    }

    async fn writes_with_csrf_token_alone(&mut self, base: &str) -> Result<(), Failure> {
        let told = self.get(&format!("{base}/api/csrf-token")).await?;
        let csrf = told.text("csrf_token").to_owned();
        self.expect(told.status() == 200, "the CSRF token", &told);
        let url = format!("{base}/api/entries");
        for made_up in [None, Some("kst_c_made-up")] {
            let refused = self.post(&url, &draft(), made_up).await?;
            let told = refused.status() == 403 && refused.text("code") == "csrf_token_invalid";
            self.expect(told, "an entry without CSRF token", &refused);
        }
        let taken = self.post(&url, &draft(), Some(&csrf)).await?;
        self.expect(taken.status() == 201, "an entry", &taken);
        self.written += 1;
        Ok(())
    }

    /// What a script of a page that was not named tries: it reads nothing, and nothing happens.
    async fn fetches_of(&mut self, page: &str) -> Result<(), Failure> {
        self.browser.open(page).await?;
        let app = self.sites.app.clone();
        for path in ["/api/entries", "/api/auth/me", "/api/csrf-token"] {
            let seen = self.get(&format!("{app}{path}")).await?;
            self.expect(seen.status() == 0, &format!("{page} reads {path}"), &seen);
        }
        for (path, body) in self.wishes() {
            let url = format!("{app}{path}");
            let seen = self.post(&url, &body, Some("kst_c_made-up")).await?;
            self.expect(seen.status() == 0, &format!("{page} posts {path}"), &seen);
            // What a browser sends without asking first. The answer is opaque, so what counts is what is so afterwards.
            let simple = json!({
                "method": "POST", "mode": "no-cors", "credentials": "include", "body": body.to_string(),
            });
            self.fetch(&url, simple).await?;
        }
        self.nothing_happened(page).await
    }

    /// The same by forms, which need nobody's leave, with JSON in `text/plain`.
    async fn forms_of(&mut self, page: &str) -> Result<(), Failure> {
        for (path, body) in self.wishes() {
            self.browser.open(page).await?;
            let action = format!("{}{path}", self.sites.app);
            // A form writes `name=value`: what comes after the JSON so far is the value of one more member.
            let body = body.to_string();
            let name = match body.trim_end_matches('}') {
                "{" => "{\"x".to_owned(),
                members => format!("{members},\"x"),
            };
            let script = format!(
                "const form = document.createElement('form');
                 Object.assign(form, {{ method: 'POST', action: {}, enctype: 'text/plain' }});
                 const field = document.createElement('input');
                 Object.assign(field, {{ name: {}, value: '\":1}}' }});
                 form.append(field);
                 document.body.append(form);
                 form.submit();",
                json!(action),
                json!(name)
            );
            self.browser.evaluate(&script).await?;
            let told = self.landed(&action).await?;
            // Where no body is read, nothing but its origin refuses a form that brings the cookies along, as those of
            // a sibling do.
            let with_cookies = page == self.sites.sibling && path.starts_with("/api/auth/logout");
            let refused = if with_cookies {
                told.contains("\"code\":\"cross_site_request\"")
            } else {
                let mut statuses = ["401", "403", "415"].into_iter();
                statuses.any(|status| told.contains(&format!("\"status\":{status}")))
            };
            self.expect(refused, &format!("a form of {page} to {path}"), &told);
        }
        self.nothing_happened(page).await
    }

    /// The text of the page that a form led to.
    async fn landed(&self, address: &str) -> Result<String, Failure> {
        until("the form's answer", LIMIT, async || {
            let script =
                "return [location.href, document.readyState, document.body?.innerText ?? '']";
            let seen = self.browser.evaluate(script).await;
            let seen = seen.map_err(|failure| failure.to_string())?;
            match seen.as_array().map(Vec::as_slice) {
                Some([at, state, text]) if at == address && state == "complete" => {
                    Ok(text.as_str().unwrap_or_default().to_owned())
                }
                _ => Err(seen.to_string()),
            }
        })
        .await
    }

    /// A page of the service inside a page of somebody else, who could lay their own buttons over it.
    async fn frame_of(&mut self, page: &str) -> Result<(), Failure> {
        self.browser.open(page).await?;
        self.browser.console().await?;
        let script = format!(
            "return new Promise((done) => {{
                 const frame = document.createElement('iframe');
                 frame.onload = () => done(true);
                 frame.src = {};
                 document.body.append(frame);
             }})",
            json!(format!("{}/docs", self.sites.app))
        );
        self.browser.evaluate(&script).await?;
        let said = json!(self.browser.console().await?).to_string();
        self.expect(
            said.contains("frame-ancestors") || said.contains("X-Frame-Options"),
            &format!("{page} frames the service"),
            &said,
        );
        Ok(())
    }

    /// A sibling may set cookies for the whole site, but none that counts.
    async fn cookies_of_a_sibling(&mut self) -> Result<(), Failure> {
        self.browser.open(&self.sites.sibling).await?;
        let script = format!(
            "for (const cookie of [
                 '{ACCESS}=forged; Path=/; Secure; Domain=keystead.test',
                 '{REFRESH}={planted}; Path={REFRESH_PATH}; Secure; Domain=keystead.test',
             ]) document.cookie = cookie;",
            planted = self.planted
        );
        self.browser.evaluate(&script).await?;
        self.browser.open(&self.sites.app).await?;
        let renewed = self.post(REFRESH_PATH, &json!({}), None).await?;
        self.expect(renewed.status() == 401, "two refresh cookies", &renewed);
        self.nothing_happened("the cookies of a sibling").await
    }

    async fn log_out(&mut self) -> Result<(), Failure> {
        self.browser.open(&self.sites.app).await?;
        let told = self.get("/api/csrf-token").await?;
        let csrf = told.text("csrf_token").to_owned();
        let ended = self
            .post("/api/auth/logout", &json!({}), Some(&csrf))
            .await?;
        self.expect(ended.status() == 204, "the page's logout", &ended);
        let me = self.get("/api/auth/me").await?;
        self.expect(me.status() == 401, "after the logout", &me);
        let left = self.browser.cookies().await?;
        self.expect(
            left.is_empty(),
            "cookies after the logout",
            &described(&left),
        );
        Ok(())
    }

    /// The cookie that the sibling set is the only one now: it takes nobody into trudy's session.
    async fn session_of_a_sibling(&mut self) -> Result<(), Failure> {
        let renewed = self.post(REFRESH_PATH, &json!({}), None).await?;
        self.expect(renewed.status() == 401, "a planted session", &renewed);
        Ok(())
    }

    /// What a stranger would like to happen.
    fn wishes(&self) -> [(&'static str, Value); 5] {
        [
            ("/api/entries", draft()),
            ("/api/auth/logout", json!({})),
            ("/api/auth/logout-all", json!({})),
            (REFRESH_PATH, json!({})),
            // Whoever writes a diary as trudy writes it for trudy.
            ("/api/auth/login", login(&self.trudy)),
        ]
    }

    /// The browser's session is still ada's, and has written what she wrote.
    async fn nothing_happened(&mut self, after: &str) -> Result<(), Failure> {
        self.browser.open(&self.sites.app).await?;
        let me = self.get("/api/auth/me").await?;
        let still = me.text("id") == self.ada.id;
        self.expect(still, &format!("the session after {after}"), &me);
        let listed = self.get("/api/entries").await?;
        let entries = listed.0.pointer("/told/entries").and_then(Value::as_array);
        let as_before = entries.is_some_and(|it| it.len() == self.written);
        self.expect(as_before, &format!("the entries after {after}"), &listed);
        Ok(())
    }
}

/// Whether the cookie is there for this host alone, out of the reach of scripts and of other sites.
fn guarded(cookies: &[Value], name: &str, path: &str) -> bool {
    cookies.iter().any(|it| {
        it["name"] == name
            && it["path"] == path
            && it["domain"] == "app.keystead.test"
            && it["httpOnly"] == true
            && it["secure"] == true
            && it["sameSite"] == "Strict"
    })
}

/// All but the values.
fn described(cookies: &[Value]) -> String {
    let mut cookies = cookies.to_vec();
    for cookie in &mut cookies {
        cookie.as_object_mut().map(|it| it.remove("value"));
    }
    json!(cookies).to_string()
}

/// Of a session of their own, which they had outside a browser.
async fn refresh_cookie_of(person: &Person, identity: &str) -> Result<String, Failure> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(LIMIT)
        .build()
        .map_err(Failure::when("make an HTTP client"))?;
    let request = http.post(format!("{identity}/api/auth/login"));
    let answer = request.json(&login(person)).send().await;
    let answer = answer.map_err(Failure::when("log in with cookies"))?;
    let lines = answer.headers().get_all("set-cookie").iter();
    let mut cookies = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    let value = cookies.find_map(|pair| pair.strip_prefix(REFRESH)?.strip_prefix('='));
    let value = value.ok_or_else(|| Failure::new("a login without a refresh cookie"))?;
    Ok(value.to_owned())
}

fn login(person: &Person) -> Value {
    json!({ "email": person.email, "password": person.password, "session": "cookie" })
}

fn draft() -> Value {
    json!({ "date": "2026-11-24", "title": "From a page", "body": "With a cookie." })
}
