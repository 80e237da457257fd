//! Service tokens that are good for one request. That one is good once is tested where it is spent: at the vault and the
//! journal.

use serde_json::{Value, json};
use shared::{
    jwk::JwkSet,
    service_token::{BodyDigest, Operation, Refused, Signer, TrustedServices},
};
use time::Duration;

use crate::signing::{NOW, Signing, service_claims, with};

const BODY: &[u8] = br#"{"wait_seconds":0}"#;

fn operation() -> Operation {
    Operation::new("DELETE", "/v1/subjects/ada")
}

/// The vault, which trusts identity.
struct Vault {
    identity: Signing,
    trusted: TrustedServices,
}

impl Vault {
    fn new() -> Self {
        let identity = Signing::new();
        let keys = vec![identity.jwk(Some("identity"))];
        let set = serde_json::to_string(&JwkSet { keys }).expect("JSON");
        Self {
            identity,
            trusted: TrustedServices::from_jwks(&set).expect("a key"),
        }
    }

    fn signer(&self) -> Signer {
        Signer::from_pem("identity", &self.identity.0.pem()).expect("a key")
    }

    fn bound(&self) -> String {
        self.signer()
            .token_for("vault", &operation(), BodyDigest::of(BODY), NOW)
    }

    fn verify_bound(&self, token: &str) -> Result<String, Refused> {
        let verified = self.trusted.verify_bound(token, "vault", &operation(), NOW);
        verified.map(|token| token.service().to_owned())
    }

    fn with_claims(&self, claims: &Value) -> String {
        self.identity.sign(&self.identity.header("svc+jwt"), claims)
    }
}

#[test]
fn a_bound_token_is_known_by_its_key_and_carries_one_operation() {
    let vault = Vault::new();
    let token = vault.bound();
    assert_eq!(vault.verify_bound(&token), Ok("identity".to_owned()));
    for other in [
        Operation::new("DELETE", "/v1/subjects/bob"),
        Operation::new("DELETE", "/v1/subjects/ada/"),
        Operation::new("DELETE", "/v1/subjects/ada/restore"),
        Operation::new("POST", "/v1/subjects/ada"),
        Operation::new("delete", "/v1/subjects/ada"),
    ] {
        let answer = vault.trusted.verify_bound(&token, "vault", &other, NOW);
        assert_eq!(answer.err(), Some(Refused::OtherRequest), "{other}");
    }
}

#[test]
fn neither_kind_of_service_token_stands_in_for_the_other() {
    let vault = Vault::new();
    let ordinary = vault.signer().token("vault", NOW);
    assert_eq!(vault.verify_bound(&ordinary), Err(Refused::NotBound));
    // Whether or not it has been seen before.
    for _ in 0..2 {
        let answer = vault.trusted.verify(&vault.bound(), "vault", NOW);
        assert_eq!(answer, Err(Refused::OtherRequest));
    }
    let claims = service_claims("identity");
    let half = [
        with(claims.clone(), "op", operation().to_string()),
        with(claims.clone(), "bh", "AAAA"),
    ];
    for claims in half {
        let token = vault.with_claims(&claims);
        assert_eq!(vault.verify_bound(&token), Err(Refused::NotBound));
        let answer = vault.trusted.verify(&token, "vault", NOW);
        assert_eq!(answer, Err(Refused::OtherRequest));
    }
}

#[test]
fn everything_that_is_asked_of_a_service_token_is_asked_of_a_bound_one() {
    let vault = Vault::new();
    let claims = with(service_claims("identity"), "op", operation().to_string());
    let claims = with(claims, "bh", "AAAA");
    assert!(vault.verify_bound(&vault.with_claims(&claims)).is_ok());
    let now = NOW.unix_timestamp();
    for (name, value, refused) in [
        ("iss", json!("journal"), Refused::Invalid),
        ("sub", json!("journal"), Refused::Invalid),
        ("aud", json!("journal"), Refused::OtherAudience),
        ("exp", json!(now + 61), Refused::Invalid),
        ("exp", json!(now), Refused::Expired),
        ("iat", json!(now + 11), Refused::Invalid),
        ("jti", json!("once"), Refused::Invalid),
        ("jti", json!(null), Refused::Invalid),
        ("op", json!(["DELETE"]), Refused::Invalid),
    ] {
        let token = vault.with_claims(&with(claims.clone(), name, value.clone()));
        assert_eq!(vault.verify_bound(&token), Err(refused), "{name} {value}");
    }
    let stranger = Signing::new();
    let token = stranger.sign(&stranger.header("svc+jwt"), &claims);
    assert_eq!(vault.verify_bound(&token), Err(Refused::Invalid));
    let access = vault
        .identity
        .sign(&vault.identity.header("at+jwt"), &claims);
    assert_eq!(vault.verify_bound(&access), Err(Refused::WrongType));
}

#[test]
fn every_request_gets_a_token_of_its_own() {
    let vault = Vault::new();
    assert_ne!(vault.bound(), vault.bound());
    let later = NOW + Duration::MINUTE;
    let token = vault.bound();
    let answer = vault
        .trusted
        .verify_bound(&token, "vault", &operation(), later);
    assert_eq!(answer.err(), Some(Refused::Expired));
}
