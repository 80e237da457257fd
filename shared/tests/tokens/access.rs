//! Access tokens that are not what they seem.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use shared::{
    access_token::{Claims, KeySet, Refused, Verifier},
    jwk::JwkSet,
};
use time::Duration;

use crate::signing::{
    AUDIENCE, ISSUER, NOW, Signing, access_claims, base64url, malleated, message, respelled, with,
};

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

    async fn refuses_the_type_of(&self, what: &str, token: &str) {
        let answer = self.verify(token).await;
        assert!(
            matches!(answer, Err(Refused::WrongType)),
            "{what}: {answer:?}"
        );
    }

    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        let header = with(self.active.header("at+jwt"), name, value);
        self.active.sign(&header, &access_claims())
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
async fn no_other_algorithm_counts() {
    let identity = Verifying::new();
    let claims = access_claims().to_string();
    for alg in [
        "none", "None", "NONE", "HS256", "ES256", "RS256", "EDDSA", "",
    ] {
        // Signed well, and called something else.
        identity
            .refuses(alg, &identity.with_header("alg", alg))
            .await;
        // Not signed at all.
        let header = with(identity.active.header("at+jwt"), "alg", alg).to_string();
        let bare = message(&header, &claims);
        identity.refuses(alg, &format!("{bare}.")).await;
        identity.refuses(alg, &bare).await;
    }
    identity
        .refuses("no alg", &identity.with_header("alg", Value::Null))
        .await;
}

#[tokio::test]
async fn the_public_key_is_no_hmac_secret() {
    let identity = Verifying::new();
    let header = with(identity.active.header("at+jwt"), "alg", "HS256");
    let message = message(&header.to_string(), &access_claims().to_string());
    let jwk = serde_json::to_string(&identity.active.jwk(None)).expect("JSON");
    for secret in [
        identity.active.public_key(),
        identity.active.jwk(None).x.as_bytes(),
        jwk.as_bytes(),
    ] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = base64url(hmac::sign(&key, message.as_bytes()));
        identity.refuses("HS256", &format!("{message}.{tag}")).await;
    }
}

#[tokio::test]
async fn the_name_of_the_key_must_be_that_of_the_signer() {
    let identity = Verifying::new();
    let stranger = Signing::new();
    identity.refuses("unknown", &stranger.access_token()).await;
    let swapped = stranger.sign(&identity.active.header("at+jwt"), &access_claims());
    identity
        .refuses("a stranger under our name", &swapped)
        .await;
    let swapped = identity
        .retired
        .sign(&identity.active.header("at+jwt"), &access_claims());
    identity.refuses("another key of ours", &swapped).await;
    for kid in [json!(null), json!(""), json!("../keys"), json!(7)] {
        identity
            .refuses("kid", &identity.with_header("kid", kid))
            .await;
    }
}

#[tokio::test]
async fn a_token_does_not_bring_its_own_key() {
    let identity = Verifying::new();
    let stranger = Signing::new();
    let jwk = serde_json::to_value(stranger.jwk(None)).expect("JSON");
    for kid in [stranger.kid(), identity.active.kid()] {
        for (name, value) in [
            ("jwk", jwk.clone()),
            ("jku", json!("https://stranger.example/jwks.json")),
            ("x5u", json!("https://stranger.example/chain.pem")),
            ("x5c", json!(["MIIB"])),
        ] {
            let header = with(
                with(stranger.header("at+jwt"), "kid", kid.clone()),
                name,
                value,
            );
            let token = stranger.sign(&header, &access_claims());
            identity.refuses(name, &token).await;
        }
    }
}

#[tokio::test]
async fn other_kinds_of_tokens_are_told_apart() {
    let identity = Verifying::new();
    for typ in [
        json!("JWT"),
        json!("svc+jwt"),
        json!("at+JWT"),
        json!(""),
        json!(null),
    ] {
        let token = identity.with_header("typ", typ.clone());
        identity.refuses_the_type_of(&typ.to_string(), &token).await;
    }
    identity
        .refuses_the_type_of("refresh token", "kst_r_AZjA3gAAcACAAAAAAAAAAg")
        .await;
}

#[tokio::test]
async fn unknown_critical_headers_are_not_overlooked() {
    let identity = Verifying::new();
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("b64")] {
        let token = identity.with_header("crit", crit.clone());
        identity.refuses(&crit.to_string(), &token).await;
    }
}

#[tokio::test]
async fn claims_that_are_not_ours_or_not_for_us_do_not_count() {
    let identity = Verifying::new();
    for (name, value) in [
        ("iss", json!("https://stranger.example")),
        ("iss", json!("https://identity.example/")),
        ("iss", json!([ISSUER])),
        ("aud", json!("another")),
        ("aud", json!("")),
        ("aud", json!([AUDIENCE])),
        ("aud", json!([AUDIENCE, "another"])),
        ("sub", json!("ada")),
        ("exp", json!("4000000000")),
        ("exp", json!(1e300)),
    ] {
        let what = format!("{name} {value}");
        identity
            .refuses(&what, &identity.with_claim(name, value))
            .await;
    }
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
        identity
            .refuses(
                &format!("no {name}"),
                &identity.with_claim(name, Value::Null),
            )
            .await;
    }
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
async fn nothing_may_be_said_twice() {
    let identity = Verifying::new();
    let header = identity.active.header("at+jwt").to_string();
    let claims = access_claims().to_string();
    let twice = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    for member in [
        r#""sub":"0198c0de-0000-7000-8000-0000000000ff""#,
        r#""exp":4000000000"#,
        r#""aud":"another""#,
    ] {
        let token = identity.active.sign_text(&header, &twice(&claims, member));
        identity.refuses(member, &token).await;
    }
    for member in [r#""alg":"none""#, r#""kid":"another""#, r#""typ":"JWT""#] {
        let token = identity.active.sign_text(&twice(&header, member), &claims);
        identity.refuses(member, &token).await;
    }
}

#[tokio::test]
async fn a_signature_has_one_form() {
    let identity = Verifying::new();
    let token = identity.active.access_token();
    identity.refuses("S + L", &malleated(&token)).await;
    identity.refuses("unused bits", &respelled(&token)).await;
    for tail in ["=", "==", "A", ".", " ", "\n"] {
        identity.refuses(tail, &format!("{token}{tail}")).await;
    }
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    identity
        .refuses("zeros", &format!("{message}.{}", base64url([0; 64])))
        .await;
    // The signature of one message under another.
    let other = identity.with_claim("sub", "0198c0de-0000-7000-8000-0000000000ff");
    let (other, _) = other.rsplit_once('.').expect("three parts");
    identity
        .refuses("another's signature", &format!("{other}.{signature}"))
        .await;
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
