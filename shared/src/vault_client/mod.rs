//! How a service asks the vault for a person's data key, and keeps it for at most five minutes.

mod keys;
mod rotation;
mod settings;
#[cfg(test)]
pub(crate) mod stub;

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    envelope::DataKey,
    problem::{INVALID_REQUEST, Unexpected},
    random,
    serve::{RequestScope, Shutdown},
    service_token::{BodyDigest, Operation, Signer},
};

pub use rotation::CurrentMasterKey;
pub use settings::VaultSettings;

use keys::{Forgotten, Keys, Latest, Opened};

/// When a client may ask again that was told 503 because of the vault.
const RETRY: Duration = Duration::from_secs(2);
/// The audience of tokens for the vault.
const AUDIENCE: &str = "vault";

/// A data key as its owner stores it: sealed by the vault, useless without it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// Takes the bytes as they were stored.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("WrappedKey")
    }
}

/// Which key is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyOf {
    /// The person, or the service's own thing, that the key is for.
    pub subject: Uuid,
    /// What it seals, from the caller's closed set.
    pub purpose: &'static str,
    /// Its generation, which the records under it name.
    pub generation: u32,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The vault cannot be asked now; later may be better.
    #[error("the vault cannot be reached")]
    Unavailable(#[source] Unexpected),
    /// The vault answered, and said no: its stable code. Asking again changes nothing.
    #[error("the vault refused: {0}")]
    Refused(String),
}

impl From<VaultError> for Unexpected {
    /// For a caller to whom a refusal is as unexpected as an outage: its own key, its own proof.
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(unexpected) => unexpected,
            refused @ VaultError::Refused(_) => Self::bug(refused.to_string()),
        }
    }
}

/// The vault's codes for a person's token that it does not take, whatever it is asked for.
const PROOF_REFUSED: [&str; 3] = [
    "invalid_user_token",
    "user_token_expired",
    "wrong_token_type",
];

/// The vault's word for a key that only another replica opens.
const MISSING: &str = "master_key_missing";

/// Why all who share a question have no key, and the proof that it was asked with.
#[derive(Debug, Error)]
#[error("no data key")]
struct NoKey {
    #[source]
    error: VaultError,
    proof: Option<[u8; 32]>,
}

impl NoKey {
    fn new(error: VaultError, proof: Option<&SecretString>) -> Self {
        let proof = proof.map(digest);
        Self { error, proof }
    }

    /// Whether asking with this proof may end otherwise.
    fn is_for_want_of_another_proof(&self, proof: Option<&SecretString>) -> bool {
        let VaultError::Refused(code) = &self.error else {
            return false;
        };
        PROOF_REFUSED.contains(&code.as_str()) && self.proof != proof.map(digest)
    }
}

fn digest(proof: &SecretString) -> [u8; 32] {
    Sha256::digest(proof.expose_secret()).into()
}

/// What the vault said to a question about nothing.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What time it is there, in whole seconds.
    pub date: Option<OffsetDateTime>,
    /// Why it does not take this service for itself: its stable code.
    pub refused: Option<String>,
}

/// The vault, as one service sees it.
#[derive(Clone)]
pub struct VaultClient {
    http: Client,
    url: Url,
    signer: Arc<Signer>,
    keys: Keys,
    latest: Latest,
    forgotten: Forgotten,
}

impl VaultClient {
    /// Nothing is asked yet.
    pub fn new(settings: VaultSettings) -> Self {
        Self {
            http: settings.http,
            url: settings.url,
            signer: Arc::new(settings.signer),
            keys: keys::keys(),
            latest: keys::latest(),
            forgotten: keys::forgotten(),
        }
    }

    /// A new data key, in the clear for now and wrapped for storing.
    ///
    /// `proof` is the person's own access token, where the vault's policy wants it.
    pub async fn create(
        &self,
        of: KeyOf,
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<(WrappedKey, Arc<DataKey>), VaultError> {
        let body = CreateBody {
            subject: of.subject,
            purpose: of.purpose,
            plaintext: true,
        };
        let asked = Instant::now();
        let created: Created = self.ask("v1/data-keys", &body, proof, now).await?;
        let wrapped = BASE64_URL_SAFE_NO_PAD
            .decode(&created.wrapped_key)
            .map_err(away)?;
        let key = Arc::new(data_key(of, created.plaintext_key)?);
        let wrapped = WrappedKey(wrapped);
        let id = (of, wrapped.clone());
        let opened = Opened { key, asked };
        self.keys.insert(id.clone(), opened.clone()).await;
        Ok((wrapped, self.unless_forgotten(&id, opened).await))
    }

    /// The key that was opened last, while it is in memory, and the bytes that it was wrapped in. The vault is not asked:
    /// whoever uses it sees to it that these bytes are still what is stored.
    pub async fn at_hand(&self, of: KeyOf) -> Option<(WrappedKey, Arc<DataKey>)> {
        let wrapped = self.latest.get(&of).await?;
        let opened = self.keys.get(&(of, wrapped.clone())).await?;
        let is_kept = !self.is_forgotten_since(of.subject, opened.asked).await;
        is_kept.then_some((wrapped, opened.key))
    }

    /// The data key in `wrapped`: from memory, or from the vault, which is asked once however many
    /// requests wait for the same key. Who shared the question of another, whose proof was refused, asks
    /// for themselves.
    pub async fn unwrap(
        &self,
        of: KeyOf,
        wrapped: &WrappedKey,
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, VaultError> {
        let id = (of, wrapped.clone());
        let opened = self.kept_or_fetched(&id, proof, now).await?;
        Ok(self.unless_forgotten(&id, opened).await)
    }

    /// The key. Where the vault was asked before the subject was forgotten, and answered after, what that put back goes.
    async fn unless_forgotten(&self, id: &(KeyOf, WrappedKey), opened: Opened) -> Arc<DataKey> {
        let (of, wrapped) = id;
        if self.is_forgotten_since(of.subject, opened.asked).await {
            self.keys.invalidate(id).await;
        } else if self.latest.get(of).await.as_ref() != Some(wrapped) {
            self.latest.insert(*of, wrapped.clone()).await;
        }
        opened.key
    }

    async fn is_forgotten_since(&self, subject: Uuid, asked: Instant) -> bool {
        let forgotten = self.forgotten.get(&subject).await;
        forgotten.is_some_and(|at| at >= asked)
    }

    async fn kept_or_fetched(
        &self,
        id: &(KeyOf, WrappedKey),
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<Opened, VaultError> {
        let (of, wrapped) = id;
        let fetch = async || {
            let asked = Instant::now();
            let key = self.fetch(*of, wrapped, proof, now).await?;
            Ok(Opened { key, asked })
        };
        let fetched = async {
            let fetched: Result<_, VaultError> = fetch().await;
            fetched.map_err(|error| NoKey::new(error, proof))
        };
        match self.keys.try_get_with(id.clone(), fetched).await {
            Err(no_key) if no_key.is_for_want_of_another_proof(proof) => {
                let opened = fetch().await?;
                self.keys.insert(id.clone(), opened.clone()).await;
                Ok(opened)
            }
            Err(no_key) => Err(match &no_key.error {
                VaultError::Refused(code) => VaultError::Refused(code.clone()),
                VaultError::Unavailable(_) => away(no_key),
            }),
            Ok(opened) => Ok(opened),
        }
    }

    /// Asks for no key at all, once, to see whether the vault is there and believes who is asking: it looks at the
    /// question only then, and finds it empty.
    pub async fn knock(&self, now: OffsetDateTime) -> Result<Answered, VaultError> {
        let body = NothingToUnwrap { items: [] };
        let sent = self.send("v1/data-keys/unwrap", &body, None, now).await;
        let response = sent.map_err(away)?;
        let date = response.headers().get(DATE).and_then(|date| {
            let date = date.to_str().ok()?;
            OffsetDateTime::parse(date, &Rfc2822).ok()
        });
        if response.status().is_success() {
            return Ok(Answered {
                date,
                refused: None,
            });
        }
        match refusal(response).await {
            VaultError::Refused(code) => Ok(Answered {
                date,
                refused: Some(code).filter(|code| code != INVALID_REQUEST.code),
            }),
            unavailable @ VaultError::Unavailable(_) => Err(unavailable),
        }
    }

    /// Wipes keys whose time is over, also while nobody asks for any, until the shutdown is requested.
    pub async fn wipe(&self, shutdown: Shutdown) {
        keys::wipe(&self.keys, shutdown).await;
    }

    /// Forgets every key of a subject that is in memory, and wipes it.
    ///
    /// # Panics
    /// Never: the cache is built to support this.
    pub async fn forget(&self, subject: Uuid) {
        self.forgotten.insert(subject, Instant::now()).await;
        let of_subject = move |(of, _): &(KeyOf, WrappedKey), _: &Opened| of.subject == subject;
        self.keys
            .invalidate_entries_if(of_subject)
            .expect("the cache was built with invalidation closures");
        self.keys.run_pending_tasks().await;
    }

    /// An operation that cannot be undone, with a token that is good for it alone. Never repeated here: whoever asks
    /// decides.
    pub async fn command(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        now: OffsetDateTime,
    ) -> Result<Response, VaultError> {
        let url = self.at(path);
        let body = serde_json::to_vec(body).map_err(away)?;
        let operation = Operation::new(method.as_str(), url.path());
        let digest = BodyDigest::of(&body);
        let token = self.signer.token_for(AUDIENCE, &operation, digest, now);
        let request = self.http.request(method, url).bearer_auth(token);
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let response = traced(request).send().await.map_err(away)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    /// What this service signs its tokens with, for the other services it talks to.
    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.signer)
    }

    fn at(&self, path: &str) -> Url {
        self.url
            .join(path)
            .expect("paths are relative and made of names and ids")
    }

    async fn fetch(
        &self,
        of: KeyOf,
        wrapped: &WrappedKey,
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<Arc<DataKey>, VaultError> {
        let item = UnwrapItem {
            subject: of.subject,
            purpose: of.purpose,
            wrapped_key: BASE64_URL_SAFE_NO_PAD.encode(wrapped.bytes()),
        };
        let body = UnwrapBody { items: [item] };
        let answer: Unwrapped = self.ask("v1/data-keys/unwrap", &body, proof, now).await?;
        let [item] = answer.items;
        match item.status.as_str() {
            "ok" => {}
            // Another replica may have it by now.
            MISSING => return Err(away("a master key is not there yet")),
            _ => return Err(VaultError::Refused(item.status)),
        }
        Ok(Arc::new(data_key(of, item.plaintext_key)?))
    }

    /// One request, and one more when the vault could not be reached: creating and unwrapping both may
    /// be repeated without harm.
    async fn ask<A: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        body: &impl Serialize,
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<A, VaultError> {
        let first = self.send(path, body, proof, now).await;
        let response = match first {
            Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => response,
            Err(error) if error.is_timeout() => return Err(away(error)),
            _ => {
                sleep(jitter()).await;
                self.send(path, body, proof, now).await.map_err(away)?
            }
        };
        if response.status().is_success() {
            return response.json().await.map_err(away);
        }
        Err(refusal(response).await)
    }

    async fn send(
        &self,
        path: &str,
        body: &impl Serialize,
        proof: Option<&SecretString>,
        now: OffsetDateTime,
    ) -> Result<Response, reqwest::Error> {
        let mut request = self
            .http
            .post(self.at(path))
            .bearer_auth(self.signer.token(AUDIENCE, now))
            .json(body);
        if let Some(proof) = proof {
            request = request.header("X-User-Token", proof.expose_secret());
        }
        traced(request).send().await
    }
}

impl fmt::Debug for VaultClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VaultClient({}, {:?})", self.url, self.signer)
    }
}

fn traced(request: RequestBuilder) -> RequestBuilder {
    match RequestScope::current() {
        Some(scope) => request.header("traceparent", scope.traceparent()),
        None => request,
    }
}

/// 20 to 83 ms, so that many waiting callers do not come back in one moment.
fn jitter() -> Duration {
    let [random] = random::bytes::<1>();
    Duration::from_millis(20 + u64::from(random) / 4)
}

fn away(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> VaultError {
    VaultError::Unavailable(Unexpected::unavailable("asking the vault", RETRY).caused_by(cause))
}

async fn refusal(response: Response) -> VaultError {
    let status = response.status();
    let retry = response.headers().get(RETRY_AFTER);
    let retry = retry.and_then(|after| after.to_str().ok()?.parse().ok());
    let retry = retry.map_or(RETRY, Duration::from_secs);
    let code = response
        .json()
        .await
        .map_or_else(|_| status.to_string(), |told: Told| told.code);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let cause = format!("status {status}, code {code}");
        let away = Unexpected::unavailable("asking the vault", retry).caused_by(cause);
        return VaultError::Unavailable(away);
    }
    VaultError::Refused(code)
}

fn data_key(of: KeyOf, encoded: Option<PlaintextKey>) -> Result<DataKey, VaultError> {
    let encoded = encoded.ok_or_else(|| away("an answer without a plaintext key"))?;
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(&encoded.0).map_err(away)?);
    DataKey::from_bytes(of.generation, &bytes)
        .ok_or_else(|| away("a plaintext key of another length"))
}

#[derive(Serialize)]
struct CreateBody {
    subject: Uuid,
    purpose: &'static str,
    plaintext: bool,
}

#[derive(Deserialize)]
struct Created {
    wrapped_key: String,
    plaintext_key: Option<PlaintextKey>,
}

#[derive(Serialize)]
struct UnwrapBody {
    items: [UnwrapItem; 1],
}

#[derive(Serialize)]
struct UnwrapItem {
    subject: Uuid,
    purpose: &'static str,
    wrapped_key: String,
}

#[derive(Serialize)]
struct NothingToUnwrap {
    items: [UnwrapItem; 0],
}

#[derive(Deserialize)]
struct Unwrapped {
    items: [UnwrappedItem; 1],
}

#[derive(Deserialize)]
struct UnwrappedItem {
    status: String,
    plaintext_key: Option<PlaintextKey>,
}

#[derive(Deserialize)]
struct Told {
    code: String,
}

/// A key in transit: wiped when the answer has been read.
#[derive(Deserialize)]
#[serde(transparent)]
struct PlaintextKey(String);

impl Drop for PlaintextKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
