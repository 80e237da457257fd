//! Keys of these tests, and what honest tokens of them say.

use serde_json::{Value, json};
use shared::jwk::Jwk;
use stack::forgery::Key;
use time::{OffsetDateTime, macros::datetime};

pub(crate) use stack::forgery::{malleated, message, respelled, with};

pub(crate) const ISSUER: &str = "https://identity.example";
pub(crate) const AUDIENCE: &str = "keystead";
/// The present of these tests.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

pub(crate) struct Signing(pub(crate) Key);

impl Signing {
    pub(crate) fn new() -> Self {
        Self(Key::new())
    }

    pub(crate) fn jwk(&self, service: Option<&str>) -> Jwk {
        Jwk {
            service: service.map(str::to_owned),
            ..serde_json::from_value(self.0.jwk()).expect("a key")
        }
    }

    pub(crate) fn kid(&self) -> String {
        self.0.kid()
    }

    /// The header of an honest token of this key.
    pub(crate) fn header(&self, typ: &str) -> Value {
        self.0.header(typ)
    }

    pub(crate) fn access_token(&self) -> String {
        self.sign(&self.header("at+jwt"), &access_claims())
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.0.sign(header, claims)
    }

    /// Signs text that need not be JSON, or says one thing twice.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        self.0.sign_text(header, claims)
    }
}

/// What an honest access token says at [`NOW`].
pub(crate) fn access_claims() -> Value {
    let now = NOW.unix_timestamp();
    json!({
        "iss": ISSUER, "aud": AUDIENCE,
        "sub": "0198c0de-0000-7000-8000-000000000001", "sid": "0198c0de-0000-7000-8000-000000000002",
        "jti": "0198c0de-0000-7000-8000-000000000003",
        "iat": now, "exp": now + 900, "auth_time": now, "amr": ["pwd"],
    })
}

/// What an honest service token of `service` for the vault says at [`NOW`].
pub(crate) fn service_claims(service: &str) -> Value {
    let now = NOW.unix_timestamp();
    json!({
        "iss": service, "sub": service, "aud": "vault", "iat": now, "exp": now + 60,
        "jti": "0198c0de-0000-7000-8000-000000000004",
    })
}
