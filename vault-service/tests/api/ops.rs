//! The ops port: plain HTTP, no credentials, no keys.

use std::time::Duration;

use serde_json::Value;
use stack::until;

use crate::world::{Vault, World, vault};

const LIMIT: Duration = Duration::from_secs(20);

async fn get(vault: &Vault, path: &str) -> Result<reqwest::Response, String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(LIMIT)
        .build()
        .expect("a client");
    let url = format!("http://{}{path}", vault.ops);
    client
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())
}

async fn readiness(vault: &Vault) -> Result<(u16, Value), String> {
    let answer = get(vault, "/readyz").await?;
    let status = answer.status().as_u16();
    Ok((
        status,
        answer.json().await.map_err(|error| error.to_string())?,
    ))
}

#[tokio::test]
async fn a_ready_vault_says_so_with_its_parts() {
    let (_world, vault) = vault().await;
    let body = until("ready", LIMIT, async || match readiness(&vault).await? {
        (200, body) => Ok(body),
        (status, body) => Err(format!("{status} {body}")),
    })
    .await
    .expect("ready");
    assert_eq!(body["checks"]["postgres"], "ok");
    assert_eq!(body["checks"]["master_keys"], "ok");
    assert!(
        ["locked", "not_locked"].contains(&body["checks"]["key_memory"].as_str().expect("text"))
    );
    for (path, contains) in [
        ("/livez", "ok"),
        ("/metrics", "http_requests_total"),
        ("/docs", "<html"),
        ("/openapi.json", "create_data_key"),
    ] {
        let answer = get(&vault, path).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await.expect("text");
        assert!(text.contains(contains), "{path}: {text}");
    }
}

#[tokio::test]
async fn no_operation_on_keys_answers_on_the_ops_port() {
    let (_world, vault) = vault().await;
    let answer = get(&vault, "/v1/data-keys").await.expect("an answer");
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn without_postgres_the_vault_starts_says_not_ready_and_stops_when_told() {
    let world = World::new()
        .await
        .with("DATABASE_URL", "postgres://vault@127.0.0.1:1/vault");
    let vault = world.start().await;
    let (status, body) = readiness(&vault).await.expect("an answer");
    assert_eq!(status, 503);
    assert_eq!(body["checks"]["postgres"], "failed");
    assert_eq!(body["checks"]["master_keys"], "failed");
    assert_eq!(
        get(&vault, "/livez").await.expect("an answer").status(),
        200
    );
    vault.trigger.request();
    let ended = tokio::time::timeout(LIMIT, vault.running)
        .await
        .expect("it stops");
    assert!(ended.expect("no panic").is_ok());
}
