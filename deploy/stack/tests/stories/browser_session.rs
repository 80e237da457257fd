//! A page whose session lives in cookies uses the journal as an app with a bearer token does.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use stack::{Person, Stack};

const COOKIE: &str = "__Host-ks_access";

#[tokio::test]
async fn a_page_writes_an_entry_with_its_cookie_and_csrf_token_and_another_sites_page_does_not() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    let api = &stack.addresses().api;
    let http = Client::builder().no_proxy().build().unwrap();
    let body = json!({ "email": ada.email, "password": ada.password, "session": "cookie" });
    let login = http
        .post(format!("{}/api/auth/login", api.identity))
        .json(&body);
    let login = login.send().await.unwrap();
    let lines = login.headers().get_all("set-cookie").iter();
    let mut cookies = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    let cookie = cookies.find(|cookie| cookie.starts_with(COOKIE));
    let cookie = cookie.unwrap().to_owned();
    let told: Value = login.json().await.unwrap();
    let csrf = told["csrf_token"].as_str().unwrap();

    let entries = format!("{}/api/entries", api.journal);
    let draft = json!({ "date": "2026-11-24", "title": "From a page", "body": "With a cookie." });
    let page = |method: Method| http.request(method, &entries).header("Cookie", &cookie);
    let write = || page(Method::POST).json(&draft);
    for refused in [
        write(),
        write().header("X-CSRF-Token", "kst_c_made-up"),
        write()
            .header("X-CSRF-Token", csrf)
            .header("Origin", "https://evil.example"),
    ] {
        assert_eq!(refused.send().await.unwrap().status(), 403);
    }
    let written = write().header("X-CSRF-Token", csrf).send().await.unwrap();
    assert_eq!(written.status(), 201);
    let titles = async |request: RequestBuilder| {
        let listed: Value = request.send().await.unwrap().json().await.unwrap();
        let entries = listed["entries"].as_array().unwrap();
        let title = |entry: &Value| entry["title"].as_str().unwrap().to_owned();
        entries.iter().map(title).collect::<Vec<_>>()
    };
    assert_eq!(titles(page(Method::GET)).await, ["From a page"]);
    let pillars = format!("{}/api/pillars", api.journal);
    let morning = format!("{}/api/feels/2026-11-24/morning", api.journal);
    for (method, url, body, status) in [
        (Method::POST, &pillars, json!({ "name": "Health" }), 201),
        (Method::PUT, &morning, json!({ "mental_state": 7 }), 200),
    ] {
        let request = || {
            http.request(method.clone(), url)
                .header("Cookie", &cookie)
                .json(&body)
        };
        assert_eq!(request().send().await.unwrap().status(), 403);
        let written = request().header("X-CSRF-Token", csrf).send().await.unwrap();
        assert_eq!(written.status(), status);
    }
    let app = http.get(&entries).bearer_auth(&ada.access_token);
    assert_eq!(titles(app).await, ["From a page"]);
}
