//! Whatever happens, the answer is a whole problem with all headers, and no secret comes back.

use serde_json::json;
use shared::serve::{ClientCertificates, Limits};

use crate::host::{Files, Host};

#[tokio::test]
async fn failures_of_the_framework_are_problems() {
    let host = Host::plain(Limits::default()).await;
    host.get("/nowhere").await.assert_problem(404, "not_found");
    host.get("/notes/not-a-uuid")
        .await
        .assert_problem(400, "invalid_request");
    host.get("/me").await.assert_problem(401, "unauthorized");
    host.get("/panic").await.assert_problem(500, "internal");
    host.post("/notes", "")
        .await
        .assert_problem(400, "malformed_json");
    host.post("/notes", "{")
        .await
        .assert_problem(400, "malformed_json");
    host.post("/notes", r#"{"title":"a","title":"b"}"#)
        .await
        .assert_problem(400, "malformed_json");
    let not_allowed = host.post("/me", "{}").await;
    not_allowed.assert_problem(405, "method_not_allowed");
    assert_eq!(not_allowed.field("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_problem_and_the_end() {
    let host = Host::plain(Limits::default()).await;
    let two_lengths = "Content-Length: 1\r\nContent-Length: 2\r\n";
    for message in [
        "hello\r\n\r\n",
        "GET /peer HTTP/9.9\r\nHost: here\r\n\r\n",
        "GET /pe er HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /peer HTTP/1.1\r\nHost here\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n",
        &format!("POST /notes HTTP/1.1\r\nHost: here\r\n{two_lengths}\r\n"),
    ] {
        let mut raw = host.connect().await;
        raw.send(message).await;
        let answer = raw.answer().await;
        answer.assert_problem(400, "malformed_request");
        assert_eq!(answer.field("connection"), Some("close"), "{answer:?}");
        assert!(answer.field("date").is_some(), "{answer:?}");
        assert_eq!(raw.closed().await, "");
    }
}

#[tokio::test]
async fn garbage_behind_a_request_is_answered_after_it() {
    let host = Host::plain(Limits::default()).await;
    for path in ["/peer", "/docs/swagger-ui-bundle.js"] {
        let mut raw = host.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\nhello\r\n\r\n");
        raw.send(&request).await;
        assert_eq!(raw.answer().await.status(), 200);
        raw.answer().await.assert_problem(400, "malformed_request");
        assert_eq!(raw.closed().await, "");
    }
}

#[tokio::test]
async fn garbage_inside_tls_is_answered_with_a_problem() {
    let files = Files::make("garbage_tls");
    let host = Host::tls(Limits::default(), &files, ClientCertificates::Ignored).await;
    let mut raw = files
        .connect(host.address, None, "http/1.1")
        .await
        .expect("TLS");
    raw.send("hello\r\n\r\n").await;
    raw.answer().await.assert_problem(400, "malformed_request");
}

#[tokio::test]
async fn failures_of_a_use_case_are_problems() {
    let host = Host::plain(Limits::default()).await;
    host.post("/notes", r#"{"title":"taken"}"#)
        .await
        .assert_problem(409, "title_taken");
    let odd = host.post("/notes", r#"{"title":"odd"}"#).await;
    odd.assert_problem(400, "invalid_request");
    assert_eq!(
        odd.json()["errors"],
        json!([{"pointer": "#/title", "message": "is not allowed"}])
    );
    let away = host.post("/notes", r#"{"title":"away"}"#).await;
    away.assert_problem(503, "unavailable");
    assert_eq!(away.field("retry-after"), Some("3"));
}

#[tokio::test]
async fn a_security_scheme_answers_its_own_problem_with_a_challenge() {
    let host = Host::plain(Limits::default()).await;
    for (token, status) in [("ada", 200), ("eve", 401)] {
        let mut raw = host.connect().await;
        raw.send(&format!(
            "GET /me HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), status);
        if status == 401 {
            answer.assert_problem(401, "token_invalid");
            assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
            assert!(!answer.body.contains("eve"));
        }
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_and_no_value_comes_back() {
    let host = Host::plain(Limits::default()).await;
    let wrong = host
        .post(
            "/notes",
            r#"{"title":{"k":"hunter2"},"urgency":99,"extra":"hunter2","tags":["a",7]}"#,
        )
        .await;
    wrong.assert_problem(400, "invalid_request");
    let errors = wrong.json()["errors"].as_array().cloned().expect("a list");
    let pointers: Vec<_> = errors.iter().map(|it| it["pointer"].clone()).collect();
    assert_eq!(pointers, ["#/extra", "#/tags/1", "#/title", "#/urgency"]);
    assert!(!wrong.body.contains("hunter2"));
}

#[tokio::test]
async fn a_secret_in_a_malformed_request_never_comes_back() {
    let host = Host::plain(Limits::default()).await;
    for body in [
        r#"{"title":"hunter2"#,
        r#"{"title":hunter2}"#,
        r#""hunter2""#,
        r#"["hunter2"]"#,
        r#"{"title":["hunter2"]}"#,
        r#"{"title":"hunter2hunter2hunter2hunter2"}"#,
        r#"{"title":"x","urgency":"hunter2"}"#,
    ] {
        let answer = host.post("/notes", body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert!(
            !answer.header.contains("hunter2") && !answer.body.contains("hunter2"),
            "{body}"
        );
    }
    for path in [
        "/notes/hunter2",
        "/notes/0198c0de-0000-7000-8000-000000000001?limit=hunter2",
    ] {
        let answer = host.get(path).await;
        answer.assert_problem(400, "invalid_request");
        assert!(!answer.body.contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_parameter_is_named_with_its_place() {
    let host = Host::plain(Limits::default()).await;
    let path = host.get("/notes/7").await.json();
    assert_eq!(path["errors"][0]["pointer"], "path:id");
    let query = host
        .get("/notes/0198c0de-0000-7000-8000-000000000001?limit=x")
        .await
        .json();
    assert_eq!(query["errors"][0]["pointer"], "query:limit");
}

#[tokio::test]
async fn the_unexpected_tells_the_client_nothing() {
    let host = Host::plain(Limits::default()).await;
    for answer in [
        host.post("/notes", r#"{"title":"bug"}"#).await,
        host.get("/panic").await,
    ] {
        answer.assert_problem(500, "internal");
        assert!(!answer.body.contains("secret"), "{answer:?}");
    }
}

#[tokio::test]
async fn another_media_type_is_refused() {
    let host = Host::plain(Limits::default()).await;
    for field in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "",
    ] {
        let mut raw = host.connect().await;
        raw.send(&format!(
            "POST /notes HTTP/1.1\r\nHost: here\r\n{field}Content-Length: 2\r\n\r\n{{}}"
        ))
        .await;
        raw.answer()
            .await
            .assert_problem(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn two_credentials_in_one_request_are_none() {
    let host = Host::plain(Limits::default()).await;
    for second in ["Bearer ada", "Bearer eve", ""] {
        let mut raw = host.connect().await;
        raw.send(&format!(
            "GET /me HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer ada\r\nauthorization: {second}\r\n\r\n"
        ))
        .await;
        raw.answer().await.assert_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn http_1_1_needs_exactly_one_host() {
    let host = Host::plain(Limits::default()).await;
    for hosts in ["", "Host: a\r\nHost: b\r\n"] {
        let mut raw = host.connect().await;
        raw.send(&format!("GET /peer HTTP/1.1\r\n{hosts}\r\n"))
            .await;
        raw.answer().await.assert_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn a_broken_body_is_a_problem() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send(
        "POST /notes HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    )
    .await;
    raw.answer().await.assert_problem(400, "malformed_request");
}

#[tokio::test]
async fn success_and_the_explorer_carry_the_headers_too() {
    let host = Host::plain(Limits::default()).await;
    let created = host.post("/notes", r#"{"title":"Water the plants"}"#).await;
    assert_eq!(created.status(), 201);
    assert_eq!(created.field("content-type"), Some("application/json"));
    assert_eq!(created.field("location"), Some("/notes/1"));
    assert_eq!(created.field("cache-control"), Some("no-store"));
    created.assert_secured();
    for path in [
        "/docs",
        "/docs/init.js",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
        "/openapi.json",
    ] {
        let page = host.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        page.assert_secured();
    }
}

#[tokio::test]
async fn request_ids_of_clients_are_ignored_and_all_differ() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        raw.send("GET /peer HTTP/1.1\r\nHost: here\r\nX-Request-Id: mine\r\n\r\n")
            .await;
        ids.push(raw.answer().await.field("x-request-id").map(str::to_owned));
    }
    let [first, second] = ids.try_into().expect("two answers");
    assert_ne!(first, second);
    assert_eq!(first.map(|it| it.len()), Some(32));
}
