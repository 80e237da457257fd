//! Access tokens that are not what they seem: one set of attacks (RFC 8725) for every place that takes tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{digest, hmac, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The `typ` of access tokens.
const TYPE: &str = "at+jwt";

/// A signing key that writes any header and any claims, as an attacker would.
pub struct Key {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl Key {
    /// Another key each time.
    ///
    /// # Panics
    ///
    /// When the system gives no randomness.
    #[expect(clippy::new_without_default, reason = "two new keys are never equal")]
    pub fn new() -> Self {
        let mut seed = [0; 32];
        rand::fill(&mut seed).expect("randomness");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        Self { seed, pair }
    }

    pub fn seed(&self) -> &[u8] {
        &self.seed
    }

    /// PKCS#8, as `SERVICE_KEY_FILE` holds it.
    ///
    /// # Panics
    ///
    /// Never: every seed has such a form.
    pub fn pem(&self) -> String {
        let der = self.pair.to_pkcs8v1().expect("a key has a PKCS#8 form");
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// As identity publishes it (RFC 8037), named by its thumbprint (RFC 7638).
    pub fn jwk(&self) -> Value {
        let x = base64url(self.public_key());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = base64url(digest::digest(&digest::SHA256, canonical.as_bytes()));
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": x, "kid": kid})
    }

    pub fn kid(&self) -> String {
        self.jwk()
            .get("kid")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// The header of an honest token of this key.
    pub fn header(&self, typ: &str) -> Value {
        json!({"alg": "EdDSA", "typ": typ, "kid": self.kid()})
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// Signs text that need not be JSON, or says one thing twice.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let mut token = message(header, claims);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        token.push_str(&base64url(signature));
        token
    }
}

/// The first two parts of a token.
pub fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", base64url(header), base64url(claims))
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The header of a token, unverified.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap_or_default();
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// An object with one member changed, or left out when `value` is null.
///
/// # Panics
///
/// When it is no object.
pub fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    let members = object.as_object_mut().expect("an object");
    match value.into() {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    object
}

/// The same signature with the group order L added to S (RFC 8032 §5.1.7 wants S < L).
///
/// # Panics
///
/// When it is no signed token.
pub fn malleated(token: &str) -> String {
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
///
/// # Panics
///
/// When it is no signed token.
pub fn respelled(token: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = token.as_bytes().to_vec();
    let last = bytes.last_mut().expect("not empty");
    let at = ALPHABET.iter().position(|c| c == last).expect("base64url");
    *last = *ALPHABET.get(at ^ 1).expect("below 64");
    String::from_utf8(bytes).expect("ASCII")
}

/// A token that must not count.
#[derive(Debug)]
pub struct Forgery {
    /// What is wrong with it.
    pub what: String,
    pub token: String,
    /// The code of the 401 that says so.
    pub code: &'static str,
}

/// Every forgery of a token. `trusted` is a key whose tokens count and `claims` what a good token of it says now,
/// so that nothing else is wrong with what comes back.
pub fn all(trusted: &Key, claims: &Value) -> Vec<Forgery> {
    let mut forger = Forger {
        trusted,
        stranger: Key::new(),
        claims,
        made: Vec::new(),
    };
    forger.other_algorithms();
    forger.the_public_key_as_a_secret();
    forger.other_keys();
    forger.keys_of_its_own();
    forger.other_types();
    forger.critical_headers();
    forger.other_claims();
    forger.missing_claims();
    forger.other_times();
    forger.said_twice();
    forger.other_signatures();
    forger.parts();
    forger.oversized();
    forger.made
}

struct Forger<'a> {
    trusted: &'a Key,
    stranger: Key,
    claims: &'a Value,
    made: Vec<Forgery>,
}

impl Forger<'_> {
    fn add(&mut self, code: &'static str, what: impl Into<String>, token: String) {
        let what = what.into();
        self.made.push(Forgery { what, token, code });
    }

    fn invalid(&mut self, what: impl Into<String>, token: String) {
        self.add("invalid_token", what, token);
    }

    fn good(&self) -> String {
        self.trusted.sign(&self.header(), self.claims)
    }

    fn header(&self) -> Value {
        self.trusted.header(TYPE)
    }

    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        let header = with(self.header(), name, value);
        self.trusted.sign(&header, self.claims)
    }

    fn with_claim(&self, name: &str, value: impl Into<Value>) -> String {
        let claims = with(self.claims.clone(), name, value);
        self.trusted.sign(&self.header(), &claims)
    }

    fn now(&self) -> i64 {
        let iat = self.claims.get("iat").and_then(Value::as_i64);
        iat.expect("a good token says when it was made")
    }

    fn other_algorithms(&mut self) {
        for alg in [
            "none", "None", "NONE", "HS256", "ES256", "RS256", "EDDSA", "",
        ] {
            // Signed well, and called something else; then not signed at all.
            self.invalid(format!("alg {alg}"), self.with_header("alg", alg));
            let header = with(self.header(), "alg", alg).to_string();
            let bare = message(&header, &self.claims.to_string());
            self.invalid(format!("alg {alg}, empty signature"), format!("{bare}."));
            self.invalid(format!("alg {alg}, two parts"), bare);
        }
        self.invalid("no alg", self.with_header("alg", Value::Null));
    }

    fn the_public_key_as_a_secret(&mut self) {
        let header = with(self.header(), "alg", "HS256").to_string();
        let message = message(&header, &self.claims.to_string());
        let raw = self.trusted.public_key().to_vec();
        let jwk = self.trusted.jwk().to_string().into_bytes();
        for secret in [raw.clone(), base64url(raw).into_bytes(), jwk] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let tag = base64url(hmac::sign(&key, message.as_bytes()));
            self.invalid("HS256 with the public key", format!("{message}.{tag}"));
        }
    }

    fn other_keys(&mut self) {
        let header = self.stranger.header(TYPE);
        self.invalid("a stranger's key", self.stranger.sign(&header, self.claims));
        let swapped = self.stranger.sign(&self.header(), self.claims);
        self.invalid("a stranger's key under our kid", swapped);
        for kid in [json!(null), json!(""), json!("../keys"), json!(7)] {
            self.invalid(format!("kid {kid}"), self.with_header("kid", kid));
        }
    }

    fn keys_of_its_own(&mut self) {
        for kid in [self.stranger.kid(), self.trusted.kid()] {
            for (name, value) in [
                ("jwk", self.stranger.jwk()),
                ("jku", json!("https://stranger.example/jwks.json")),
                ("x5u", json!("https://stranger.example/chain.pem")),
                ("x5c", json!(["MIIB"])),
            ] {
                let header = with(self.stranger.header(TYPE), "kid", kid.clone());
                let token = self.stranger.sign(&with(header, name, value), self.claims);
                self.invalid(format!("brings its {name}"), token);
            }
        }
    }

    fn other_types(&mut self) {
        for typ in [
            json!("JWT"),
            json!("svc+jwt"),
            json!("at+JWT"),
            json!(""),
            json!(null),
        ] {
            let token = self.with_header("typ", typ.clone());
            self.add("wrong_token_type", format!("typ {typ}"), token);
        }
        let refresh = "kst_r_AZjA3gAAcACAAAAAAAAAAg".to_owned();
        self.add("wrong_token_type", "a refresh token", refresh);
    }

    fn critical_headers(&mut self) {
        for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("b64")] {
            self.invalid(format!("crit {crit}"), self.with_header("crit", crit));
        }
    }

    fn other_claims(&mut self) {
        let told = |name: &str| {
            self.claims
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (iss, aud) = (told("iss").to_owned(), told("aud").to_owned());
        for (name, value) in [
            ("iss", json!("https://stranger.example")),
            ("iss", json!(format!("{iss}/"))),
            ("iss", json!([iss])),
            ("aud", json!("another")),
            ("aud", json!("")),
            ("aud", json!([aud])),
            ("aud", json!([aud, "another"])),
            ("sub", json!("ada")),
            ("exp", json!("4000000000")),
            ("exp", json!(1e300)),
        ] {
            let what = format!("{name} {value}");
            self.invalid(what, self.with_claim(name, value));
        }
    }

    fn missing_claims(&mut self) {
        for name in [
            "iss",
            "aud",
            "sub",
            "sid",
            "jti",
            "iat",
            "exp",
            "auth_time",
            "amr",
        ] {
            self.invalid(format!("no {name}"), self.with_claim(name, Value::Null));
        }
    }

    fn other_times(&mut self) {
        let now = self.now();
        for exp in [now, now - 1, now - 86_400, 0, -1, i64::MIN] {
            self.add(
                "token_expired",
                format!("exp {exp}"),
                self.with_claim("exp", exp),
            );
        }
        for name in ["iat", "nbf"] {
            for ahead in [now + 300, now + 86_400, i64::MAX] {
                self.invalid(format!("{name} {ahead}"), self.with_claim(name, ahead));
            }
        }
    }

    fn said_twice(&mut self) {
        let (header, claims) = (self.header().to_string(), self.claims.to_string());
        let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
        for member in [
            r#""sub":"0198c0de-0000-7000-8000-0000000000ff""#,
            r#""exp":4000000000"#,
            r#""aud":"another""#,
        ] {
            let token = self.trusted.sign_text(&header, &twice(&claims, member));
            self.invalid(format!("{member} twice"), token);
        }
        for member in [r#""alg":"none""#, r#""kid":"another""#, r#""typ":"JWT""#] {
            let token = self.trusted.sign_text(&twice(&header, member), &claims);
            self.invalid(format!("{member} twice"), token);
        }
    }

    fn other_signatures(&mut self) {
        let good = self.good();
        self.invalid("S + L", malleated(&good));
        self.invalid("unused bits", respelled(&good));
        for tail in ["=", "==", "A", ".", " x", "\n"] {
            self.invalid(format!("tail {tail:?}"), format!("{good}{tail}"));
        }
        let (message, signature) = good.rsplit_once('.').expect("three parts");
        self.invalid("zeros", format!("{message}.{}", base64url([0; 64])));
        // The signature of one message under another.
        let other = self.with_claim("sub", "0198c0de-0000-7000-8000-0000000000ff");
        let (other, _) = other.rsplit_once('.').expect("three parts");
        self.invalid("another's signature", format!("{other}.{signature}"));
    }

    fn parts(&mut self) {
        let good = self.good();
        for length in 1..good.len() {
            // All lengths around the dots, and some between.
            let after = good.as_bytes().get(length).copied();
            let before = good.as_bytes().get(length - 1).copied();
            if length % 41 == 0 || after == Some(b'.') || before == Some(b'.') {
                let cut = good.get(..length).unwrap_or_default();
                self.invalid(format!("cut at {length}"), cut.to_owned());
            }
        }
        for nothing in [
            "..",
            "...",
            "a.b.c",
            "e30.e30.",
            "nonsense",
            "\u{1f512}.\u{1f512}.\u{1f512}",
        ] {
            self.invalid(nothing, nothing.to_owned());
        }
    }

    fn oversized(&mut self) {
        let token = self.with_claim("amr", json!(["a".repeat(3_000)]));
        assert!(token.len() > 4096, "longer than any of ours");
        self.invalid("longer than any of ours", token);
    }
}
