//! The journal, as identity sees it: where the data of people goes when their account does.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, Method, Response, StatusCode, Url};
use shared::{
    problem::Unexpected,
    service_token::{BodyDigest, Operation, Signer},
    user_id::UserId,
};
use time::OffsetDateTime;

const AUDIENCE: &str = "journal";
const CONNECT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// When a try may be repeated.
const RETRY: Duration = Duration::from_secs(2);
const NOTHING: &str = "{}";

/// One journal service.
pub(crate) struct JournalClient {
    http: Client,
    url: Url,
    signer: Arc<Signer>,
}

impl JournalClient {
    /// Nothing is asked yet. `signer` is identity's own.
    pub(crate) fn new(url: Url, signer: Arc<Signer>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url, signer })
    }

    /// Nothing of this person is read or written from now on.
    pub(crate) async fn close(&self, user: UserId, now: OffsetDateTime) -> Result<(), Unexpected> {
        let path = format!("/internal/people/{user}/closure");
        done(self.send(Method::PUT, &path, now).await?).await
    }

    /// Everything of this person can be read and written again; `false` when it is gone.
    pub(crate) async fn reopen(
        &self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<bool, Unexpected> {
        let path = format!("/internal/people/{user}/closure");
        let answer = self.send(Method::DELETE, &path, now).await?;
        if answer.status() == StatusCode::GONE {
            return Ok(false);
        }
        done(answer).await.map(|()| true)
    }

    /// Every row of this person is gone when this returns.
    pub(crate) async fn erase(&self, user: UserId, now: OffsetDateTime) -> Result<(), Unexpected> {
        let path = format!("/internal/people/{user}");
        done(self.send(Method::DELETE, &path, now).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        now: OffsetDateTime,
    ) -> Result<Response, Unexpected> {
        let url = self
            .url
            .join(path)
            .map_err(|_| Unexpected::bug("a path of the journal"))?;
        let operation = Operation::new(method.as_str(), url.path());
        let digest = BodyDigest::of(NOTHING.as_bytes());
        let token = self.signer.token_for(AUDIENCE, &operation, digest, now);
        let request = self
            .http
            .request(method, url)
            .bearer_auth(token)
            .header("Content-Type", "application/json")
            .body(NOTHING);
        request.send().await.map_err(|error| {
            Unexpected::unavailable("asking the journal", RETRY).caused_by(error.without_url())
        })
    }
}

impl fmt::Debug for JournalClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JournalClient({}, {:?})", self.url, self.signer)
    }
}

async fn done(answer: Response) -> Result<(), Unexpected> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let told: serde_json::Value = answer.json().await.unwrap_or_default();
    let code = told.get("code").and_then(serde_json::Value::as_str);
    let told = format!("status {status}, code {}", code.unwrap_or("none"));
    Err(Unexpected::unavailable("asking the journal", RETRY).caused_by(told))
}
