//! Service tokens that are not what they seem.

use serde_json::{Value, json};
use shared::{
    jwk::JwkSet,
    service_token::{Refused, Signer, TrustedServices},
};
use time::Duration;

use crate::signing::{
    NOW, Signing, access_claims, malleated, message, respelled, service_claims, with,
};

/// The vault, which trusts identity and journal.
struct Vault {
    identity: Signing,
    journal: Signing,
    trusted: TrustedServices,
}

impl Vault {
    fn new() -> Self {
        let (identity, journal) = (Signing::new(), Signing::new());
        let keys = vec![identity.jwk(Some("identity")), journal.jwk(Some("journal"))];
        let set = serde_json::to_string(&JwkSet { keys }).expect("JSON");
        Self {
            identity,
            journal,
            trusted: TrustedServices::from_jwks(&set).expect("two keys"),
        }
    }

    fn verify(&self, token: &str) -> Result<String, Refused> {
        self.trusted.verify(token, "vault", NOW)
    }

    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        let header = with(self.journal.header("svc+jwt"), name, value);
        self.journal.sign(&header, &service_claims("journal"))
    }

    fn with_claim(&self, name: &str, value: impl Into<Value>) -> String {
        let claims = with(service_claims("journal"), name, value);
        self.journal.sign(&self.journal.header("svc+jwt"), &claims)
    }

    fn honest(&self) -> String {
        self.with_claim("jti", "0198c0de-0000-7000-8000-000000000004")
    }
}

#[test]
fn the_signer_is_known_by_its_key() {
    let vault = Vault::new();
    assert_eq!(vault.verify(&vault.honest()), Ok("journal".to_owned()));
    for (service, key) in [("identity", &vault.identity), ("journal", &vault.journal)] {
        let signer = Signer::from_pem(service, &key.0.pem()).expect("a key");
        let token = signer.token("vault", NOW);
        assert_eq!(vault.verify(&token), Ok(service.to_owned()));
    }
}

#[test]
fn no_service_speaks_in_the_name_of_another() {
    let vault = Vault::new();
    let posing = Signer::from_pem("identity", &vault.journal.0.pem()).expect("a key");
    assert_eq!(
        vault.verify(&posing.token("vault", NOW)),
        Err(Refused::Invalid)
    );
    for name in ["iss", "sub"] {
        let token = vault.with_claim(name, "identity");
        assert_eq!(vault.verify(&token), Err(Refused::Invalid), "{name}");
    }
    // Identity's name over the journal's signature.
    let token = vault.with_header("kid", vault.identity.kid());
    assert_eq!(vault.verify(&token), Err(Refused::Invalid));
    let stranger = Signing::new();
    let header = stranger.header("svc+jwt");
    for header in [with(header.clone(), "kid", vault.journal.kid()), header] {
        let token = stranger.sign(&header, &service_claims("journal"));
        assert_eq!(vault.verify(&token), Err(Refused::Invalid));
    }
}

#[test]
fn the_algorithm_is_pinned_and_no_key_is_brought_along() {
    let vault = Vault::new();
    let claims = service_claims("journal").to_string();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("kid", json!(null)),
        ("crit", json!(["b64"])),
    ] {
        let what = format!("{name} {value}");
        let token = vault.with_header(name, value.clone());
        assert_eq!(vault.verify(&token), Err(Refused::Invalid), "{what}");
        let header = with(vault.journal.header("svc+jwt"), name, value).to_string();
        let unsigned = format!("{}.", message(&header, &claims));
        assert_eq!(vault.verify(&unsigned), Err(Refused::Invalid), "{what}");
    }
    let unsigned = message(&vault.journal.header("svc+jwt").to_string(), &claims);
    for unsigned in [format!("{unsigned}."), unsigned] {
        assert_eq!(vault.verify(&unsigned), Err(Refused::Invalid));
    }
    let stranger = Signing::new();
    let jwk = serde_json::to_value(stranger.jwk(Some("journal"))).expect("JSON");
    for kid in [stranger.kid(), vault.journal.kid()] {
        let header = with(stranger.header("svc+jwt"), "kid", kid);
        let token = stranger.sign(
            &with(header, "jwk", jwk.clone()),
            &service_claims("journal"),
        );
        assert_eq!(vault.verify(&token), Err(Refused::Invalid));
    }
}

#[test]
fn other_kinds_of_tokens_are_told_apart() {
    let vault = Vault::new();
    for typ in [json!("at+jwt"), json!("JWT"), json!("SVC+JWT"), json!(null)] {
        let header = with(vault.journal.header("svc+jwt"), "typ", typ);
        // Even with everything that a service token says.
        for claims in [access_claims(), service_claims("journal")] {
            let token = vault.journal.sign(&header, &claims);
            assert_eq!(vault.verify(&token), Err(Refused::WrongType), "{header}");
        }
    }
    for opaque in ["kst_r_AZjA3gAAcACAAAAAAAAAAg", "kst_v_AAAA", "kst_"] {
        assert_eq!(vault.verify(opaque), Err(Refused::WrongType), "{opaque}");
    }
}

#[test]
fn a_token_for_another_service_is_refused_fresh_and_remembered() {
    let vault = Vault::new();
    for audience in [json!("journal"), json!(""), json!("Vault")] {
        let token = vault.with_claim("aud", audience);
        assert_eq!(vault.verify(&token), Err(Refused::OtherAudience));
    }
    let token = vault.with_claim("aud", json!(["vault", "journal"]));
    assert_eq!(vault.verify(&token), Err(Refused::Invalid));
    let token = vault.honest();
    assert!(vault.verify(&token).is_ok());
    assert_eq!(
        vault.trusted.verify(&token, "journal", NOW),
        Err(Refused::OtherAudience)
    );
}

#[test]
fn no_token_lives_longer_than_a_minute() {
    let vault = Vault::new();
    let now = NOW.unix_timestamp();
    for exp in [now + 61, now + 86_400, i64::MAX] {
        let token = vault.with_claim("exp", exp);
        assert_eq!(vault.verify(&token), Err(Refused::Invalid), "{exp}");
    }
    // Numbers whose difference does not fit 64 bits.
    for iat in [-2, i64::MIN + 1, i64::MIN] {
        let claims = with(service_claims("journal"), "iat", iat);
        let claims = with(claims, "exp", i64::MAX);
        let token = vault
            .journal
            .sign(&vault.journal.header("svc+jwt"), &claims);
        assert_eq!(vault.verify(&token), Err(Refused::Invalid), "{iat}");
    }
}

#[test]
fn a_token_of_the_future_waits_for_it() {
    let vault = Vault::new();
    let now = NOW.unix_timestamp();
    for (ahead, answer) in [(10, Ok("journal".to_owned())), (11, Err(Refused::Invalid))] {
        let claims = with(service_claims("journal"), "iat", now + ahead);
        let claims = with(claims, "exp", now + ahead + 60);
        let token = vault
            .journal
            .sign(&vault.journal.header("svc+jwt"), &claims);
        assert_eq!(vault.verify(&token), answer, "{ahead} s ahead");
    }
}

#[test]
fn a_remembered_token_still_ends() {
    let vault = Vault::new();
    let token = vault.honest();
    let end = NOW + Duration::MINUTE;
    for now in [NOW, NOW, end - Duration::MILLISECOND] {
        assert!(vault.trusted.verify(&token, "vault", now).is_ok());
    }
    for now in [end, end, end + Duration::HOUR] {
        let answer = vault.trusted.verify(&token, "vault", now);
        assert_eq!(answer, Err(Refused::Expired));
    }
}

#[test]
fn a_signer_never_hands_out_a_token_that_is_about_to_end() {
    let vault = Vault::new();
    let signer = Signer::from_pem("journal", &vault.journal.0.pem()).expect("a key");
    let first = signer.token("vault", NOW);
    let soon = NOW + Duration::seconds(29);
    assert_eq!(signer.token("vault", soon), first);
    let later = NOW + Duration::seconds(30);
    let second = signer.token("vault", later);
    assert_ne!(second, first);
    let good_until = later + Duration::seconds(59);
    assert!(vault.trusted.verify(&second, "vault", good_until).is_ok());
    assert_ne!(signer.token("journal", later), second);
}

#[test]
fn a_signature_has_one_form() {
    let vault = Vault::new();
    let token = vault.honest();
    let mut forms = vec![malleated(&token), respelled(&token), format!("{token}=")];
    forms.extend((0..token.len()).map(|length| token[..length].to_owned()));
    // Remembering the honest one must not help the others.
    for _ in 0..2 {
        for form in &forms {
            assert_eq!(vault.verify(form), Err(Refused::Invalid));
        }
        assert!(vault.verify(&token).is_ok());
    }
}

#[test]
fn nothing_may_be_said_twice() {
    let vault = Vault::new();
    let header = vault.journal.header("svc+jwt").to_string();
    let claims = service_claims("journal").to_string();
    for member in [
        r#""iss":"identity""#,
        r#""sub":"identity""#,
        r#""aud":"journal""#,
    ] {
        let twice = claims.replacen('{', &format!("{{{member},"), 1);
        let token = vault.journal.sign_text(&header, &twice);
        assert_eq!(vault.verify(&token), Err(Refused::Invalid), "{member}");
    }
}

#[test]
fn a_token_longer_than_any_of_ours_is_not_read() {
    let vault = Vault::new();
    assert!(
        vault
            .verify(&vault.with_claim("more", "a".repeat(500)))
            .is_ok()
    );
    let long = vault.with_claim("more", "a".repeat(2_000));
    assert_eq!(vault.verify(&long), Err(Refused::Invalid));
}

#[test]
fn a_set_of_trusted_services_is_taken_whole_or_not_at_all() {
    let good = Signing::new().jwk(Some("journal"));
    let mut other = Signing::new().jwk(Some("identity"));
    other.crv = "X25519".to_owned();
    let nameless = Signing::new().jwk(None);
    let mut twin = Signing::new().jwk(Some("identity"));
    twin.kid.clone_from(&good.kid);
    for bad in [other, nameless, twin] {
        let keys = vec![good.clone(), bad];
        let set = serde_json::to_string(&JwkSet { keys }).expect("JSON");
        assert!(TrustedServices::from_jwks(&set).is_err(), "{set}");
    }
    assert!(TrustedServices::from_jwks(r#"{"keys":[]}"#).is_err());
}
