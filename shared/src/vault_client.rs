//! How a service asks the vault for a person's data key, and keeps it for at most five minutes.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use moka::future::Cache;
use reqwest::{
    Certificate, Client, Identity, Method, RequestBuilder, Response, StatusCode, Url,
    header::{DATE, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::time::sleep;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    envelope::DataKey,
    pem,
    problem::{INVALID_REQUEST, Unexpected},
    random,
    serve::{RequestScope, Shutdown},
    service_token::{BodyDigest, Operation, Signer},
    settings::{Reader, https_root},
};

/// Absolute: a key that was fetched is forgotten, and wiped, after this time even when it is in use. The cache drops
/// what is over when it is used; [`VaultClient::wipe`] sees to it when nobody comes.
const KEEP: Duration = Duration::from_mins(4);
/// Keys are wiped at most this long after their time.
const WIPE_EVERY: Duration = Duration::from_secs(30);
/// Keys held at most; the least recently used goes first.
const KEYS: u64 = 10_000;
const CONNECT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);
/// When a client may ask again that was told 503 because of the vault.
const RETRY: Duration = Duration::from_secs(2);
/// The audience of tokens for the vault.
const AUDIENCE: &str = "vault";

/// What a service needs to talk to the vault.
pub struct VaultSettings {
    url: Url,
    http: Client,
    signer: Signer,
}

impl VaultSettings {
    /// Reads `VAULT_URL`, `VAULT_CA_FILE`, `CLIENT_CERT_FILE`, `CLIENT_KEY_FILE` and `SERVICE_KEY_FILE`
    /// for the service of that name.
    pub fn read(env: &mut Reader<'_>, service: &str) -> Option<Self> {
        let url = env.or("VAULT_URL", "https://127.0.0.1:8082/", https_root);
        let authority = env.file("VAULT_CA_FILE", checked(pem::authority));
        let certificate = env.file("CLIENT_CERT_FILE", checked(pem::certificates));
        let key = env.file("CLIENT_KEY_FILE", checked(pem::private_key));
        let signer = env.file("SERVICE_KEY_FILE", |pem| Signer::from_pem(service, pem));
        let http = client(&authority?, &certificate?, &key?).map_or_else(
            |_| {
                let problem = "is not the key of the certificate in CLIENT_CERT_FILE";
                env.problem("CLIENT_KEY_FILE", problem)
            },
            Some,
        );
        Some(Self {
            url: url?,
            http: http?,
            signer: signer?,
        })
    }
}

/// The text of a PEM file that `parse` takes: reqwest wants it as text, and does not look at it before it builds a
/// client, nor at a file without a single certificate then.
fn checked<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Zeroizing<String>, String> {
    move |pem| parse(pem).map(|_| Zeroizing::new(pem.to_owned()))
}

fn client(authority: &str, certificate: &str, key: &str) -> reqwest::Result<Client> {
    let identity = Zeroizing::new(format!("{certificate}\n{key}"));
    Client::builder()
        .tls_certs_only([Certificate::from_pem(authority.as_bytes())?])
        .identity(Identity::from_pem(identity.as_bytes())?)
        .https_only(true)
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
}

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
}

impl VaultClient {
    /// Nothing is asked yet.
    pub fn new(settings: VaultSettings) -> Self {
        Self {
            http: settings.http,
            url: settings.url,
            signer: Arc::new(settings.signer),
            keys: keys_for(KEEP),
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
        let created: Created = self.ask("v1/data-keys", &body, proof, now).await?;
        let wrapped = BASE64_URL_SAFE_NO_PAD
            .decode(&created.wrapped_key)
            .map_err(away)?;
        let key = Arc::new(data_key(of, created.plaintext_key)?);
        let wrapped = WrappedKey(wrapped);
        self.keys
            .insert((of, wrapped.clone()), Arc::clone(&key))
            .await;
        Ok((wrapped, key))
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
        let fetched = async {
            let fetched = self.fetch(of, wrapped, proof, now).await;
            fetched.map_err(|error| NoKey::new(error, proof))
        };
        match self.keys.try_get_with(id.clone(), fetched).await {
            Err(no_key) if no_key.is_for_want_of_another_proof(proof) => {
                let key = self.fetch(of, wrapped, proof, now).await?;
                self.keys.insert(id, Arc::clone(&key)).await;
                Ok(key)
            }
            Err(no_key) => Err(match &no_key.error {
                VaultError::Refused(code) => VaultError::Refused(code.clone()),
                VaultError::Unavailable(_) => away(no_key),
            }),
            Ok(key) => Ok(key),
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
        wipe(&self.keys, WIPE_EVERY, shutdown).await;
    }

    /// Forgets every key of a subject that is in memory, and wipes it.
    ///
    /// # Panics
    /// Never: the cache is built to support this.
    pub async fn forget(&self, subject: Uuid) {
        let of_subject =
            move |(of, _): &(KeyOf, WrappedKey), _: &Arc<DataKey>| of.subject == subject;
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
        if item.status != "ok" {
            return Err(VaultError::Refused(item.status));
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

type Keys = Cache<(KeyOf, WrappedKey), Arc<DataKey>>;

fn keys_for(keep: Duration) -> Keys {
    Cache::builder()
        .max_capacity(KEYS)
        .time_to_live(keep)
        .support_invalidation_closures()
        .build()
}

async fn wipe(keys: &Keys, every: Duration, mut shutdown: Shutdown) {
    loop {
        keys.run_pending_tasks().await;
        tokio::select! {
            () = shutdown.requested() => return,
            () = sleep(every) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use tokio::time::timeout;

    /// What is told of the settings with these client files; the key that signs tokens is missing.
    fn problems(certificate: &str, key: &str) -> String {
        let folder = std::env::temp_dir();
        let file = |name: &str, text: &str| {
            let name = format!("keystead-{}-{name}", Uuid::from_bytes(random::bytes()));
            let path = folder.join(name).display().to_string();
            std::fs::write(&path, text).expect("a temporary file");
            path
        };
        let files = [
            ("VAULT_CA_FILE", file("ca", certificate)),
            ("CLIENT_CERT_FILE", file("certificate", certificate)),
            ("CLIENT_KEY_FILE", file("key", key)),
        ];
        let lookup = |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            found.map(|(_, path)| path.clone())
        };
        let mut env = Reader::new(&lookup);
        let settings = VaultSettings::read(&mut env, "journal");
        let problems = env.finish(|| settings).err();
        for (_, path) in &files {
            std::fs::remove_file(path).expect("it was written");
        }
        problems.expect("the key that signs is missing").to_string()
    }

    #[test]
    fn a_key_that_does_not_fit_its_certificate_is_found_before_anything_is_asked() {
        let pair = || KeyPair::generate().expect("a key");
        let (key, other) = (pair(), pair());
        let certificate = CertificateParams::default().self_signed(&key);
        let certificate = certificate.expect("a certificate").pem();
        let told = problems(&certificate, &key.serialize_pem());
        assert!(
            !told.contains("CLIENT") && !told.contains("VAULT"),
            "{told}"
        );
        let told = problems(&certificate, &other.serialize_pem());
        let misfit = "CLIENT_KEY_FILE is not the key of the certificate in CLIENT_CERT_FILE";
        assert!(told.contains(misfit), "{told}");
        let told = problems("hunter2", "hunter2");
        for name in ["VAULT_CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE"] {
            assert!(told.contains(&format!("\n  {name} is not ")), "{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[tokio::test]
    async fn a_key_whose_time_is_over_is_wiped_though_nobody_asks_for_any() {
        let keys = keys_for(Duration::from_millis(50));
        let of = KeyOf {
            subject: Uuid::from_u128(1),
            purpose: "test",
            generation: 1,
        };
        let key = Arc::new(DataKey::generate(1));
        let kept = Arc::downgrade(&key);
        keys.insert((of, WrappedKey(Vec::new())), key).await;
        let (_trigger, shutdown) = Shutdown::manual();
        let wiping = wipe(&keys, Duration::from_millis(10), shutdown);
        let gone = async {
            while kept.strong_count() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = Duration::from_secs(5);
        tokio::select! {
            () = wiping => panic!("it goes on"),
            result = timeout(patience, gone) => result.expect("it is dropped"),
        }
    }
}
