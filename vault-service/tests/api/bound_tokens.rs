//! Tokens for what cannot be undone: one request, once, and by identity alone.

use serde_json::{Value, json};
use time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    client::{Answer, Client, Shredder},
    rotation,
    world::{somebody, vault},
};

/// Parallel uses of one token. Fewer than the vault has database connections.
const RACERS: usize = 12;

fn body() -> Value {
    json!({"wait_seconds": 600})
}

fn path(subject: Uuid) -> String {
    format!("/v1/subjects/{subject}")
}

async fn delete(shredder: &Shredder, token: &str, subject: Uuid, body: &Value) -> Answer {
    let client = shredder.client.clone().with_token(token);
    client.delete(&path(subject), body).await
}

#[tokio::test]
async fn an_ordinary_token_shreds_and_restores_nobody() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.shredder(&vault, "identity");
    identity.client.created(ada, "account").await;
    let answer = identity.client.delete(&path(ada), &body()).await;
    assert_eq!(answer.problem(), (401, "service_token_not_bound"));
    let restore = format!("{}/restore", path(ada));
    let answer = identity.client.post(&restore, &json!({})).await;
    assert_eq!(answer.problem(), (401, "service_token_not_bound"));
    assert_eq!(identity.client.create(ada, "account").await.status, 200);
}

/// Sends with that token, to whichever route.
async fn send(client: &Client, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let client = client.clone().with_token(token);
    match method {
        "GET" => client.get(path).await,
        "DELETE" => client.delete(path, body).await,
        _ => client.post(path, body).await,
    }
}

#[tokio::test]
async fn whatever_cannot_be_undone_takes_a_token_for_it_alone_and_once() {
    let world = rotation::world().await;
    let vault = world.start().await;
    let ada = somebody();
    let (shred, restore) = (path(ada), format!("{}/restore", path(ada)));
    let looked = json!({"as_of": "2026-11-24T12:00:00Z"});
    for (service, method, path, body) in [
        ("identity", "DELETE", shred.as_str(), body()),
        ("identity", "POST", restore.as_str(), json!({})),
        ("identity", "POST", "/v1/master-keys/1/settle", looked),
        (
            "operator",
            "POST",
            "/v1/master-keys/1/schedule-destruction",
            json!({"wait_days": 7}),
        ),
        ("operator", "POST", "/v1/master-keys/1/cancel", json!({})),
        ("operator", "POST", "/v1/seal", json!({})),
        ("operator", "POST", "/v1/unseal", json!({})),
    ] {
        let caller = world.shredder(&vault, service);
        let route = (method, path);
        let ordinary = match method {
            "DELETE" => caller.client.delete(path, &body).await,
            _ => caller.client.post(path, &body).await,
        };
        assert_eq!(
            ordinary.problem(),
            (401, "service_token_not_bound"),
            "{path}"
        );
        for token in [
            caller.token_for_text(method, path, "{ }"),
            caller.token(method, "/v1/elsewhere", &body),
            caller.token("PUT", path, &body),
        ] {
            let other = send(&caller.client, &token, route, &body).await;
            let refused = (401, "service_token_for_another_request");
            assert_eq!(other.problem(), refused, "{path}");
        }
        let token = caller.token(method, path, &body);
        let first = send(&caller.client, &token, route, &body).await;
        assert_ne!(first.status, 401, "{path}: {first:?}");
        let again = send(&caller.client, &token, route, &body).await;
        assert_eq!(again.problem(), (401, "service_token_spent"), "{path}");
    }
}

#[tokio::test]
async fn whatever_is_no_more_than_asked_takes_no_token_for_one_request() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.shredder(&vault, "identity");
    let (shred, audit) = (
        format!("/v1/shreds/{ada}"),
        format!("/v1/audit?subject={ada}"),
    );
    for (method, path) in [
        ("POST", "/v1/data-keys"),
        ("POST", "/v1/data-keys/unwrap"),
        ("POST", "/v1/data-keys/rewrap"),
        ("GET", "/v1/master-keys"),
        ("GET", "/v1/master-keys/current"),
        ("GET", "/v1/seal-status"),
        ("GET", "/v1/receipt-keys"),
        ("GET", "/v1/audit/head"),
        ("GET", shred.as_str()),
        ("GET", audit.as_str()),
    ] {
        let (bare, _) = path.split_once('?').unwrap_or((path, ""));
        let token = identity.token(method, bare, &json!({}));
        let refused = send(&identity.client, &token, (method, path), &json!({})).await;
        let told = (401, "service_token_for_another_request");
        assert_eq!(refused.problem(), told, "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_body_path_and_method_only() {
    let (world, vault) = vault().await;
    let (ada, bob) = (somebody(), somebody());
    let identity = world.shredder(&vault, "identity");
    for subject in [ada, bob] {
        identity.client.created(subject, "account").await;
    }
    let refused = (401, "service_token_for_another_request");

    let token = identity.token("DELETE", &path(ada), &body());
    for other in [
        json!({"wait_seconds": 0}),
        json!({}),
        json!({"wait_seconds": 601}),
    ] {
        let answer = delete(&identity, &token, ada, &other).await;
        assert_eq!(answer.problem(), refused, "{other}");
    }
    // The same JSON in other bytes is another body.
    let spaced = identity.client.clone().with_token(&token);
    let answer = spaced.delete_text(&path(ada), format!("{} ", body())).await;
    assert_eq!(answer.problem(), refused);
    assert_eq!(
        delete(&identity, &token, bob, &body()).await.problem(),
        refused
    );
    let restore = format!("{}/restore", path(ada));
    let client = identity.client.clone().with_token(&token);
    assert_eq!(client.post(&restore, &body()).await.problem(), refused);
    // Neither does it open keys, or tell of shreds.
    assert_eq!(client.create(ada, "account").await.problem(), refused);
    assert_eq!(client.get("/v1/receipt-keys").await.problem(), refused);

    for subject in [ada, bob] {
        assert_eq!(identity.client.create(subject, "account").await.status, 200);
    }
    // None of that has used it up.
    assert_eq!(delete(&identity, &token, ada, &body()).await.status, 202);
}

#[tokio::test]
async fn a_token_is_good_once_at_any_replica_however_many_try_at_once() {
    let (world, vault) = vault().await;
    let other = world.start().await;
    let ada = somebody();
    let replicas = [
        world.shredder(&vault, "identity"),
        world.shredder(&other, "identity"),
    ];
    let token = replicas[0].token("DELETE", &path(ada), &body());
    let mut uses = JoinSet::new();
    for racer in 0..RACERS {
        let (replica, token) = (replicas[racer % 2].clone(), token.clone());
        uses.spawn(async move { delete(&replica, &token, ada, &body()).await });
    }
    let answers = uses.join_all().await;
    let (good, replayed): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 202);
    assert_eq!(good.len(), 1, "{answers:?}");
    for answer in replayed {
        assert_eq!(answer.problem(), (401, "service_token_spent"));
    }
    // A restore is not undone by whoever saw the request.
    assert_eq!(replicas[0].restore(ada).await.status, 204);
    let again = delete(&replicas[1], &token, ada, &body()).await;
    assert_eq!(again.problem(), (401, "service_token_spent"));
    assert_eq!(replicas[0].client.create(ada, "account").await.status, 200);
}

#[tokio::test]
async fn identity_alone_shreds_restores_and_reads() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.shredder(&vault, "identity");
    identity.client.created(ada, "account").await;
    for other in ["journal", "billing"] {
        let mut shredder = world.shredder(&vault, other);
        // Not even with the person's own token.
        let living = world.people.access_token(ada);
        shredder.client = shredder.client.with_user_token(&living);
        for wait in [0, 600] {
            let answer = shredder.shred(ada, &json!({"wait_seconds": wait})).await;
            assert_eq!(answer.problem(), (403, "not_allowed"), "{other}");
        }
        assert_eq!(shredder.restore(ada).await.problem(), (403, "not_allowed"));
        let answer = shredder.read(&json!({"shred_id": somebody()})).await;
        assert_eq!(answer.problem(), (403, "not_allowed"));
    }
    assert_eq!(identity.client.create(ada, "account").await.status, 200);
}

#[tokio::test]
async fn certificate_and_bound_token_must_name_the_same_service() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let mixed = Shredder {
        client: world.shredder(&vault, "journal").client,
        signer: world.shredder(&vault, "identity").signer,
    };
    let answer = mixed.shred(ada, &body()).await;
    assert_eq!(answer.problem(), (401, "certificate_mismatch"));
    // The journal's key in identity's name.
    let posing = Shredder {
        client: world.shredder(&vault, "identity").client,
        signer: world.service_key("journal").signer("identity").into(),
    };
    let answer = posing.shred(ada, &body()).await;
    assert_eq!(answer.problem(), (401, "invalid_service_token"));
}

#[tokio::test]
async fn a_person_s_token_and_a_stale_one_are_refused() {
    let (world, vault) = vault().await;
    let ada = somebody();
    let identity = world.shredder(&vault, "identity");
    let living = world.people.access_token(ada);
    let answer = delete(&identity, &living, ada, &body()).await;
    assert_eq!(answer.problem(), (401, "wrong_token_type"));
    let operation = shared::service_token::Operation::new("DELETE", &path(ada));
    let digest = shared::service_token::BodyDigest::of(body().to_string().as_bytes());
    let long_ago = shared::clock::Clock::system().now() - Duration::minutes(2);
    let stale = identity
        .signer
        .token_for("vault", &operation, digest, long_ago);
    let answer = delete(&identity, &stale, ada, &body()).await;
    assert_eq!(answer.problem(), (401, "service_token_expired"));
    let now = shared::clock::Clock::system().now();
    let elsewhere = identity
        .signer
        .token_for("journal", &operation, digest, now);
    let answer = delete(&identity, &elsewhere, ada, &body()).await;
    assert_eq!(answer.problem(), (401, "invalid_service_token"));
}
