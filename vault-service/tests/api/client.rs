//! How a test calls the vault, as whoever it likes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use contract::Sent;
use reqwest::{Certificate, Identity, Method, RequestBuilder};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    service_token::{BodyDigest, Operation, Signer},
};
use stack::Service;
use uuid::Uuid;

use crate::authority::Certified;

/// A caller with the credentials it was given.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    vault: SocketAddr,
    token: Option<String>,
    user_token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Seconds; 0 without the header.
    pub(crate) retry_after: u64,
}

impl Client {
    pub(crate) fn new(vault: SocketAddr, authority: &str, certificate: Option<&Certified>) -> Self {
        let authority = Certificate::from_pem(authority.as_bytes()).expect("PEM");
        let mut builder = reqwest::Client::builder()
            .tls_certs_only([authority])
            .timeout(Duration::from_secs(30))
            .no_proxy();
        if let Some(Certified { certificate, key }) = certificate {
            let pem = format!("{certificate}\n{key}");
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).expect("PEM"));
        }
        Self {
            http: builder.build().expect("a client"),
            vault,
            token: None,
            user_token: None,
        }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    pub(crate) fn with_user_token(self, token: &str) -> Self {
        Self {
            user_token: Some(token.to_owned()),
            ..self
        }
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.request_to(Method::POST, path)
    }

    fn request_to(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("https://{}{path}", self.vault);
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(token) = &self.user_token {
            request = request.header("X-User-Token", token);
        }
        request
    }

    /// Sends, however it ends.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        Answer::of(self.request(path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = self.request_to(Method::GET, path);
        Answer::of(request).await.expect("an answer")
    }

    /// What cannot be undone, with whatever token the client has.
    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.delete_text(path, body.to_string()).await
    }

    /// The same with the bytes of a body.
    pub(crate) async fn delete_text(&self, path: &str, body: String) -> Answer {
        let request = self
            .request_to(Method::DELETE, path)
            .header("Content-Type", "application/json")
            .body(body);
        Answer::of(request).await.expect("an answer")
    }

    /// A body that is no JSON value of ours.
    pub(crate) async fn post_text(&self, path: &str, media_type: &str, body: String) -> Answer {
        let request = self
            .request(path)
            .header("Content-Type", media_type)
            .body(body);
        Answer::of(request).await.expect("an answer")
    }

    /// A new data key: wrapped, and in the clear.
    pub(crate) async fn create(&self, subject: Uuid, purpose: &str) -> Answer {
        let body = json!({"subject": subject, "purpose": purpose, "plaintext": true});
        self.post("/v1/data-keys", &body).await
    }

    /// As [`Client::create`], for callers that must succeed.
    pub(crate) async fn created(&self, subject: Uuid, purpose: &str) -> (Vec<u8>, Vec<u8>) {
        let answer = self.create(subject, purpose).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (
            decoded(&answer.body["wrapped_key"]),
            decoded(&answer.body["plaintext_key"]),
        )
    }

    /// Opens a batch.
    pub(crate) async fn unwrap(&self, items: &[Value]) -> Answer {
        self.post("/v1/data-keys/unwrap", &json!({ "items": items }))
            .await
    }

    /// Wraps a batch anew.
    pub(crate) async fn rewrap(&self, items: &[Value]) -> Answer {
        self.post("/v1/data-keys/rewrap", &json!({ "items": items }))
            .await
    }

    /// The status and the key of a batch of one.
    pub(crate) async fn unwrap_one(
        &self,
        subject: Uuid,
        purpose: &str,
        wrapped: &[u8],
    ) -> (String, Option<Vec<u8>>) {
        let answer = self.unwrap(&[item(subject, purpose, wrapped)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let [one] = answer.items() else {
            panic!("one item was asked, {answer:?}");
        };
        let key = one.get("plaintext_key").map(decoded);
        (one["status"].as_str().expect("a status").to_owned(), key)
    }
}

/// A service that shreds, with a token of its own for every request.
#[derive(Clone)]
pub(crate) struct Shredder {
    pub(crate) client: Client,
    pub(crate) signer: Arc<Signer>,
}

impl Shredder {
    /// A token for this one request.
    pub(crate) fn token(&self, method: &str, path: &str, body: &Value) -> String {
        self.token_for_text(method, path, &body.to_string())
    }

    pub(crate) fn token_for_text(&self, method: &str, path: &str, body: &str) -> String {
        let body = BodyDigest::of(body.as_bytes());
        let operation = Operation::new(method, path);
        self.signer
            .token_for("vault", &operation, body, Clock::system().now())
    }

    pub(crate) async fn shred(&self, subject: Uuid, body: &Value) -> Answer {
        let path = format!("/v1/subjects/{subject}");
        let token = self.token("DELETE", &path, body);
        let client = self.client.clone().with_token(&token);
        client.delete(&path, body).await
    }

    /// As [`Shredder::shred`], for those that must succeed.
    pub(crate) async fn shredded(&self, subject: Uuid, wait_seconds: u32) -> Value {
        let answer = self
            .shred(subject, &json!({"wait_seconds": wait_seconds}))
            .await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        answer.body
    }

    pub(crate) async fn restore(&self, subject: Uuid) -> Answer {
        let path = format!("/v1/subjects/{subject}/restore");
        let token = self.token("POST", &path, &json!({}));
        let client = self.client.clone().with_token(&token);
        client.post(&path, &json!({})).await
    }

    pub(crate) async fn read(&self, shred: &Value) -> Answer {
        let id = shred["shred_id"].as_str().expect("an id");
        self.client.get(&format!("/v1/shreds/{id}")).await
    }
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> reqwest::Result<Self> {
        let Sent {
            status,
            text,
            headers,
        } = contract::sent(Service::Vault, request).await?;
        let after = headers.get("retry-after").and_then(|it| it.to_str().ok());
        Ok(Self {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            retry_after: after.map_or(0, |it| it.parse().expect("seconds")),
        })
    }

    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// Where the request was wrong.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .filter_map(|error| error["pointer"].as_str())
            .collect()
    }

    pub(crate) fn items(&self) -> &[Value] {
        self.body["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The statuses of a batch, in order.
    pub(crate) fn statuses(&self) -> Vec<&str> {
        self.items()
            .iter()
            .filter_map(|item| item["status"].as_str())
            .collect()
    }
}

/// One item of a batch.
pub(crate) fn item(subject: Uuid, purpose: &str, wrapped: &[u8]) -> Value {
    let wrapped = BASE64_URL_SAFE_NO_PAD.encode(wrapped);
    json!({"subject": subject, "purpose": purpose, "wrapped_key": wrapped})
}

pub(crate) fn decoded(value: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD
        .decode(value.as_str().expect("text"))
        .expect("base64url without padding")
}
