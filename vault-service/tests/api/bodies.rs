//! Hostile bodies: each is answered 4xx with its code, and none reaches the keys.

use serde_json::json;

use crate::world::{somebody, vault};

const PATHS: [&str; 2] = ["/v1/data-keys", "/v1/data-keys/unwrap"];

#[tokio::test]
async fn a_body_over_64_kib_is_too_large() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    for path in PATHS {
        let body = json!({"items": "x".repeat(1 << 20)});
        assert_eq!(
            identity.post(path, &body).await.problem(),
            (413, "payload_too_large")
        );
    }
}

#[tokio::test]
async fn what_is_no_json_or_nested_without_end_is_malformed() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    for body in [
        String::new(),
        "{".to_owned(),
        "[".repeat(60_000),
        format!("{}{}", r#"{"items":"#.repeat(5_000), "1"),
        r#"{"items": [], "items": []}"#.to_owned(),
        "\u{0}".to_owned(),
    ] {
        for path in PATHS {
            let answer = identity
                .post_text(path, "application/json", body.clone())
                .await;
            assert_eq!(answer.problem(), (400, "malformed_json"));
        }
    }
}

#[tokio::test]
async fn neither_counts_for_what_cannot_be_undone() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.client.created(ada, "account").await;
    let path = format!("/v1/subjects/{ada}");
    let restore = format!("{path}/restore");
    let large = json!({"wait_seconds": "0".repeat(1 << 20)}).to_string();
    for (body, refused) in [
        (large, (413, "payload_too_large")),
        ("[".repeat(60_000), (400, "malformed_json")),
        (
            r#"{"wait_seconds":0,"wait_seconds":600}"#.to_owned(),
            (400, "malformed_json"),
        ),
        (r#"{"wait_seconds":0}x"#.to_owned(), (400, "malformed_json")),
        (
            r#"{"wait_seconds":-1}"#.to_owned(),
            (400, "invalid_request"),
        ),
        (
            r#"{"wait_seconds":1e300}"#.to_owned(),
            (400, "invalid_request"),
        ),
        (r#"{"wait":0}"#.to_owned(), (400, "invalid_request")),
    ] {
        let what: String = body.chars().take(40).collect();
        // Signed for this very body, so that it is the body that is refused.
        let token = |method, path: &str| identity.token_for_text(method, path, &body);
        let client = identity.client.clone().with_token(&token("DELETE", &path));
        let answer = client.delete_text(&path, body.clone()).await;
        assert_eq!(answer.problem(), refused, "DELETE {what}");
        let client = identity.client.clone().with_token(&token("POST", &restore));
        let answer = client
            .post_text(&restore, "application/json", body.clone())
            .await;
        assert_eq!(answer.problem(), refused, "POST {what}");
    }
    let (status, _) = identity.client.unwrap_one(ada, "account", &wrapped).await;
    assert_eq!(status, "ok");
}

#[tokio::test]
async fn what_is_asked_in_an_address_is_refused_there() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    for path in [
        "/v1/shreds/nobody",
        "/v1/shreds/%00",
        "/v1/audit?subject=nobody",
        "/v1/audit?subject=",
        "/v1/audit",
        &format!("/v1/audit?subject={}", "0".repeat(8_000)),
    ] {
        let answer = identity.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn json_that_is_something_else_is_told_where() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    for body in [json!(null), json!([]), json!("x"), json!(7)] {
        let answer = identity.post("/v1/data-keys/unwrap", &body).await;
        assert_eq!(answer.problem(), (400, "invalid_request"), "{body}");
    }
    let answer = identity
        .post("/v1/data-keys", &json!({"subject": 1, "plaintext": "yes"}))
        .await;
    assert_eq!(answer.pointers(), ["#/plaintext", "#/purpose", "#/subject"]);
}

#[tokio::test]
async fn another_media_type_is_not_read() {
    let (world, vault) = vault().await;
    let body = json!({"subject": somebody(), "purpose": "account", "plaintext": true}).to_string();
    let identity = world.caller(&vault, "identity");
    let answer = identity
        .post_text("/v1/data-keys", "text/plain", body)
        .await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let (world, vault) = vault().await;
    let answer = world
        .caller(&vault, "identity")
        .post("/v1/master-keys/export", &json!({}))
        .await;
    assert_eq!(answer.problem(), (404, "not_found"));
}
