//! Access tokens that are not what they seem.

use serde_json::{Value, json};
use shared::{
    access_token::{Claims, KeySet, Refused, Verifier},
    jwk::JwkSet,
};
use stack::forgery;
use time::Duration;

use crate::signing::{AUDIENCE, ISSUER, NOW, Signing, access_claims, with};

/// Identity's verifier with one active and one retired key.
struct Verifying {
    active: Signing,
    retired: Signing,
    verifier: Verifier,
}

impl Verifying {
    fn new() -> Self {
        let (active, retired) = (Signing::new(), Signing::new());
        let verifier = Verifier::local(ISSUER, AUDIENCE);
        let keys = vec![active.jwk(None), retired.jwk(None)];
        verifier.replace_keys(KeySet::from_jwks(&JwkSet { keys }).expect("Ed25519 keys"));
        Self {
            active,
            retired,
            verifier,
        }
    }

    async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.verifier.verify(token, NOW).await
    }

    async fn refuses(&self, what: &str, token: &str) {
        let answer = self.verify(token).await;
        assert!(
            matches!(answer, Err(Refused::Invalid)),
            "{what}: {answer:?}"
        );
    }

    fn with_claim(&self, name: &str, value: impl Into<Value>) -> String {
        let claims = with(access_claims(), name, value);
        self.active.sign(&self.active.header("at+jwt"), &claims)
    }
}

#[tokio::test]
async fn tokens_of_the_active_and_of_the_retired_key_are_good() {
    let identity = Verifying::new();
    for key in [&identity.active, &identity.retired] {
        let claims = identity.verify(&key.access_token()).await.expect("good");
        assert_eq!(
            serde_json::to_value(claims).expect("claims"),
            access_claims()
        );
    }
}

#[tokio::test]
async fn no_forgery_counts() {
    let identity = Verifying::new();
    let forgeries = forgery::all(&identity.active.0, &access_claims());
    assert!(forgeries.len() > 90, "{}", forgeries.len());
    for forged in forgeries {
        let code = match identity.verify(&forged.token).await {
            Err(Refused::Invalid) => "invalid_token",
            Err(Refused::WrongType) => "wrong_token_type",
            Err(Refused::Expired) => "token_expired",
            other => panic!("{forged:?}: {other:?}"),
        };
        assert_eq!(code, forged.code, "{forged:?}");
    }
}

#[tokio::test]
async fn another_key_of_ours_is_not_the_one_that_is_named() {
    let identity = Verifying::new();
    let header = identity.active.header("at+jwt");
    let swapped = identity.retired.sign(&header, &access_claims());
    identity.refuses("another key of ours", &swapped).await;
}

#[tokio::test]
async fn before_the_keys_were_loaded_nothing_is_said_about_a_token() {
    let signing = Signing::new();
    let verifier = Verifier::local(ISSUER, AUDIENCE);
    let answer = verifier.verify(&signing.access_token(), NOW).await;
    let Err(Refused::KeysUnavailable(error)) = answer else {
        panic!("{answer:?}");
    };
    assert!(
        error.is_unavailable(),
        "503, so that clients keep their session"
    );
    let keys = vec![signing.jwk(None)];
    verifier.replace_keys(KeySet::from_jwks(&JwkSet { keys }).expect("a key"));
    assert!(verifier.verify(&signing.access_token(), NOW).await.is_ok());
}

#[tokio::test]
async fn a_token_is_over_in_the_second_of_its_exp() {
    let identity = Verifying::new();
    let token = identity.active.access_token();
    let end = NOW + Duration::minutes(15);
    for now in [end, end + Duration::days(365)] {
        let answer = identity.verifier.verify(&token, now).await;
        assert!(matches!(answer, Err(Refused::Expired)), "{answer:?}");
    }
    let before = end - Duration::milliseconds(1);
    assert!(identity.verifier.verify(&token, before).await.is_ok());
    for exp in [0, -1, i64::MIN] {
        let answer = identity.verify(&identity.with_claim("exp", exp)).await;
        assert!(matches!(answer, Err(Refused::Expired)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_of_the_future_waits_for_it() {
    let identity = Verifying::new();
    let now = NOW.unix_timestamp();
    for name in ["iat", "nbf"] {
        let within_skew = identity.with_claim(name, now + 30);
        assert!(identity.verify(&within_skew).await.is_ok(), "{name}");
        for ahead in [now + 31, now + 600, i64::MAX] {
            identity
                .refuses(name, &identity.with_claim(name, ahead))
                .await;
        }
    }
}

#[tokio::test]
async fn a_part_of_a_token_is_no_token() {
    let identity = Verifying::new();
    let token = identity.active.access_token();
    for length in 0..token.len() {
        identity.refuses("cut", &token[..length]).await;
    }
    for nothing in [
        "..",
        "...",
        "a.b.c",
        "e30.e30.",
        "\u{1f512}.\u{1f512}.\u{1f512}",
    ] {
        identity.refuses(nothing, nothing).await;
    }
}

#[tokio::test]
async fn a_token_longer_than_any_of_ours_is_not_read() {
    let identity = Verifying::new();
    let filled = |length: usize| identity.with_claim("amr", json!(["a".repeat(length)]));
    assert!(identity.verify(&filled(2_000)).await.is_ok());
    let long = filled(3_000);
    assert!(long.len() > 4096);
    identity.refuses("long", &long).await;
}

#[test]
fn a_set_of_keys_is_taken_whole_or_not_at_all() {
    let good = Signing::new().jwk(None);
    let mut other = Signing::new().jwk(None);
    other.alg = "HS256".to_owned();
    let mut twin = Signing::new().jwk(None);
    twin.kid.clone_from(&good.kid);
    for keys in [
        vec![good.clone(), other],
        vec![good.clone(), twin],
        // The same key twice is a mistake as well.
        vec![good.clone(), good.clone()],
        Vec::new(),
    ] {
        let set = JwkSet { keys };
        assert!(KeySet::from_jwks(&set).is_err(), "{set:?}");
    }
    assert!(KeySet::from_jwks(&JwkSet { keys: vec![good] }).is_ok());
}
