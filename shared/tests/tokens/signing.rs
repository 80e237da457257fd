//! A signer that writes any header and any claims, as an attacker would.

use std::fmt::Write as _;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use shared::jwk::Jwk;
use time::{OffsetDateTime, macros::datetime};

pub(crate) const ISSUER: &str = "https://identity.example";
pub(crate) const AUDIENCE: &str = "keystead";
/// The present of these tests.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

pub(crate) struct Signing {
    pair: Ed25519KeyPair,
    pub(crate) pem: String,
}

impl Signing {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.serialized_der());
        Self {
            pair: pair.expect("an Ed25519 key"),
            pem: key.serialize_pem(),
        }
    }

    pub(crate) fn jwk(&self, service: Option<&str>) -> Jwk {
        Jwk {
            service: service.map(str::to_owned),
            ..Jwk::of(&self.pair)
        }
    }

    pub(crate) fn kid(&self) -> String {
        self.jwk(None).kid
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The header of an honest access token of this key.
    pub(crate) fn header(&self, typ: &str) -> Value {
        json!({"alg": "EdDSA", "typ": typ, "kid": self.kid()})
    }

    pub(crate) fn access_token(&self) -> String {
        self.sign(&self.header("at+jwt"), &access_claims())
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs text that need not be JSON, or says one thing twice.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let mut token = message(header, claims);
        let signature = self.pair.sign(token.as_bytes());
        write!(token, ".{}", base64url(signature.as_ref())).expect("a String takes all");
        token
    }
}

pub(crate) fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", base64url(header), base64url(claims))
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
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

/// `claims` with one of them changed, or left out when `value` is null.
pub(crate) fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    let members = claims.as_object_mut().expect("an object");
    match value.into() {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    claims
}

/// The same signature with the group order L added to S (RFC 8032 §5.1.7 wants S < L).
pub(crate) fn malleated(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut carry = 0;
    for (byte, order) in signature.iter_mut().skip(32).zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = u8::try_from(sum & 0xff).expect("one byte");
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L fits 32 bytes");
    format!("{message}.{}", base64url(signature))
}

/// The same signature bytes in another spelling: a bit of the last character that base64 throws away.
pub(crate) fn respelled(token: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = token.as_bytes().to_vec();
    let last = bytes.last_mut().expect("not empty");
    let at = ALPHABET.iter().position(|c| c == last).expect("base64url");
    *last = *ALPHABET.get(at ^ 1).expect("below 64");
    String::from_utf8(bytes).expect("ASCII")
}
