//! The formats that services share against what nobody of ours wrote: any bytes, and good ones with changes. None panics,
//! and nothing counts but what was made.

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::{collection::vec, prelude::*, sample::Index};
use rcgen::{KeyPair, PKCS_ED25519};
use shared::{
    access_token::{Claims, KeySet, Verifier},
    envelope::{DataKey, RecordContext},
    jwk::{Jwk, JwkSet},
    service_token::{BodyDigest, Operation, Signer, TrustedServices},
    user_id::UserId,
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
const PLACE: RecordContext = RecordContext {
    owner: "journal",
    subject: Uuid::from_u128(1),
    collection: "entry",
    field: "body",
    record_id: Uuid::from_u128(2),
    revision: 3,
};

/// Overwrites, inserts and cuts, each at some place.
fn changed(good: &[u8], changes: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (index, how, byte) in changes {
        let at = index.index(bytes.len() + 1);
        match how % 4 {
            0 => bytes.insert(at, *byte),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ => {
                if let Some(there) = bytes.get_mut(at) {
                    *there ^= (*byte).max(1);
                }
            }
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..4)
}

/// A service, and those who trust it.
fn service() -> (Signer, TrustedServices, String) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.serialized_der()).expect("its pair");
    let mut jwk = Jwk::of(&pair);
    jwk.service = Some("journal".to_owned());
    let set = serde_json::to_string(&JwkSet { keys: vec![jwk] }).expect("JSON");
    let trusted = TrustedServices::from_jwks(&set).expect("a good set");
    let signer = Signer::from_pem("journal", &key.serialize_pem()).expect("an Ed25519 key");
    (signer, trusted, set)
}

/// A person's token, and who takes it.
fn person() -> (String, Verifier) {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.serialized_der()).expect("its pair");
    let jwk = Jwk::of(&pair);
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(jwk.kid.clone());
    let claims = Claims {
        iss: "https://identity.test".to_owned(),
        aud: "keystead".to_owned(),
        sub: UserId::new(PLACE.subject),
        sid: Uuid::from_u128(4),
        jti: Uuid::from_u128(5),
        iat: NOW.unix_timestamp(),
        exp: NOW.unix_timestamp() + 900,
        auth_time: NOW.unix_timestamp(),
        amr: vec!["pwd".to_owned()],
        nbf: None,
        csrf: None,
    };
    let signer = EncodingKey::from_ed_der(key.serialized_der());
    let token = encode(&header, &claims, &signer).expect("JSON");
    let verifier = Verifier::local(&claims.iss, &claims.aud);
    verifier.replace_keys(KeySet::from_jwks(&JwkSet { keys: vec![jwk] }).expect("a good set"));
    (token, verifier)
}

/// Whether it is taken. A verifier that has its keys waits for nothing.
fn is_taken(verifier: &Verifier, token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(verifier.verify(token, NOW)).is_ok()
}

proptest! {
    #[test]
    fn an_access_token_counts_as_it_was_signed_and_in_no_other_way(
        changes in changes(), text in "\\PC{0,200}", part in "[A-Za-z0-9_-]{0,80}",
    ) {
        let (good, verifier) = person();
        let bytes = changed(good.as_bytes(), &changes);
        let changed = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(is_taken(&verifier, &changed), changed == good, "{}", changed);
        let (head, _) = good.rsplit_once('.').expect("three parts");
        for other in [text, [head, &part].join(".")] {
            prop_assert!(!is_taken(&verifier, &other), "{}", other);
        }
    }

    #[test]
    fn a_bound_token_counts_as_it_was_signed_and_in_no_other_way(changes in changes()) {
        let (signer, trusted, _) = service();
        let operation = Operation::new("DELETE", "/v1/subjects/1");
        let good = signer.token_for("vault", &operation, BodyDigest::of(b"{}"), NOW);
        let bytes = changed(good.as_bytes(), &changes);
        let text = String::from_utf8_lossy(&bytes);
        let taken = trusted.verify_bound(&text, "vault", &operation, NOW);
        prop_assert_eq!(taken.is_ok(), text == good, "{}", text);
        prop_assert!(trusted.verify(&text, "vault", NOW).is_err());
    }

    #[test]
    fn a_record_opens_as_it_was_sealed_and_in_no_other_way(text in vec(any::<u8>(), 0..200), changes in changes()) {
        let key = DataKey::generate(1);
        let good = key.seal(&PLACE, &text).expect("a short text");
        let bytes = changed(&good, &changes);
        prop_assert_eq!(key.open(&PLACE, &bytes).is_ok(), bytes == good);
    }

    #[test]
    fn any_bytes_are_no_record(bytes in vec(any::<u8>(), 0..400), body in vec(any::<u8>(), 0..200)) {
        let key = DataKey::generate(1);
        prop_assert!(key.open(&PLACE, &bytes).is_err());
        let under_a_good_header = [&[2, 1, 1, 0, 0, 0, 0, 1], body.as_slice()].concat();
        prop_assert!(key.open(&PLACE, &under_a_good_header).is_err());
    }

    #[test]
    fn a_service_token_counts_as_it_was_signed_and_in_no_other_way(changes in changes()) {
        let (signer, trusted, _) = service();
        let good = signer.token("vault", NOW);
        let bytes = changed(good.as_bytes(), &changes);
        let text = String::from_utf8_lossy(&bytes);
        // Also behind one that was taken: it is recognised by all of its bytes.
        prop_assert!(trusted.verify(&good, "vault", NOW).is_ok());
        prop_assert_eq!(trusted.verify(&text, "vault", NOW).is_ok(), text == good, "{}", text);
        let operation = Operation::new("DELETE", "/v1/subjects/1");
        prop_assert!(trusted.verify_bound(&text, "vault", &operation, NOW).is_err());
    }

    #[test]
    fn no_text_is_a_service_token(text in "\\PC{0,200}", part in "[A-Za-z0-9_-]{0,80}") {
        let (signer, trusted, _) = service();
        prop_assert!(trusted.verify(&text, "vault", NOW).is_err());
        let good = signer.token("vault", NOW);
        let (head, _) = good.rsplit_once('.').expect("three parts");
        let unsigned = [head, &part].join(".");
        prop_assert!(trusted.verify(&unsigned, "vault", NOW).is_err());
    }

    #[test]
    fn a_changed_set_of_keys_is_refused_or_takes_no_token_of_another_key(changes in changes()) {
        let (signer, _, set) = service();
        let (stranger, _, _) = service();
        let text = String::from_utf8_lossy(&changed(set.as_bytes(), &changes)).into_owned();
        if let Ok(trusted) = TrustedServices::from_jwks(&text) {
            let _ = trusted.verify(&signer.token("vault", NOW), "vault", NOW);
            prop_assert!(trusted.verify(&stranger.token("vault", NOW), "vault", NOW).is_err());
        }
        if let Ok(set) = serde_json::from_str::<JwkSet>(&text) {
            let _ = KeySet::from_jwks(&set);
        }
    }

    #[test]
    fn no_text_makes_a_set_of_keys_panic(text in "\\PC{0,200}") {
        prop_assert!(TrustedServices::from_jwks(&text).is_err());
    }
}
