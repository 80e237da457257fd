//! A service of the stack as it calls the vault: with its certificate and a service token that it signs itself.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{digest, rand};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use stack::forgery::{base64url, message};
use stack::{Failure, Service, Stack};
use time::OffsetDateTime;

/// A token lives for a minute, and is used for half of it, as the services do.
const LIFETIME: i64 = 60;
const REUSE: Duration = Duration::from_secs(30);

pub(crate) struct Caller {
    name: &'static str,
    pair: Ed25519KeyPair,
    current: Mutex<(String, Instant)>,
}

impl Caller {
    pub(crate) fn new(stack: &Stack, service: Service) -> Result<Self, Failure> {
        let name = service.name();
        let doing = || format!("read the signing key of {name}");
        let secrets = stack.addresses().stack_dir.join("secrets");
        let file = secrets.join(format!("{name}_service_key.pem"));
        let der = PrivatePkcs8KeyDer::from_pem_file(file).map_err(Failure::when(doing()))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(Failure::when(doing()))?;
        let token = signed(name, &pair)?;
        Ok(Self {
            name,
            pair,
            current: Mutex::new((token, Instant::now())),
        })
    }

    /// Writes one request with a JSON body behind what is in `request`, with whatever headers beside.
    pub(crate) fn post(&self, request: &mut Vec<u8>, path: &str, headers: &str, body: &str) {
        let mut current = self
            .current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if current.1.elapsed() > REUSE
            && let Ok(token) = signed(self.name, &self.pair)
        {
            *current = (token, Instant::now());
        }
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n{headers}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            current.0
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body.as_bytes());
    }
}

fn signed(service: &str, pair: &Ed25519KeyPair) -> Result<String, Failure> {
    let x = base64url(pair.public_key());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let kid = base64url(digest::digest(&digest::SHA256, canonical.as_bytes()));
    let now = now().unix_timestamp();
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(Failure::when("draw the id of a token"))?;
    let header = json!({"alg": "EdDSA", "typ": "svc+jwt", "kid": kid});
    let claims = json!({
        "iss": service, "sub": service, "aud": "vault", "iat": now, "exp": now + LIFETIME,
        "jti": hex::encode(id),
    });
    let message = message(&header.to_string(), &claims.to_string());
    let signature = base64url(pair.sign(message.as_bytes()));
    Ok(format!("{message}.{signature}"))
}

/// A new id of somebody, in the order of time as identity's are.
pub(crate) fn somebody() -> Result<String, Failure> {
    let mut drawn = [0; 10];
    rand::fill(&mut drawn).map_err(Failure::when("draw an id"))?;
    let millis = now().unix_timestamp_nanos() / 1_000_000;
    let time = format!("{millis:012x}");
    let random = hex::encode(drawn);
    let part =
        |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    Ok(format!(
        "{}-{}-7{}-8{}-{}",
        part(&time, 0, 8),
        part(&time, 8, 12),
        part(&random, 0, 3),
        part(&random, 3, 6),
        part(&random, 6, 18)
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a caller signs by the clock of this machine"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
