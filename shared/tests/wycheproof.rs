//! Published attack vectors (Project Wycheproof) against the very primitives that the envelope calls.

use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Nonce, Tag, aead::AeadInOut};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use wycheproof::{TestResult, aead, hkdf as kdf, mac};

/// The most bytes HKDF-SHA-256 gives: 255 blocks (RFC 5869 §2.3).
const MOST_OKM: usize = 255 * 32;

#[test]
fn aes_256_gcm_siv_agrees_with_every_vector() {
    let set = aead::TestSet::load(aead::TestName::AesGcmSiv).expect("the vectors load");
    let mut run = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let opened = open(test);
            if test.result == TestResult::Invalid {
                assert_eq!(opened, None, "vector {} must not open", test.tc_id);
            } else {
                assert_eq!(
                    opened.as_deref(),
                    Some(test.pt.as_slice()),
                    "vector {}",
                    test.tc_id
                );
                assert_eq!(seal(test), [&test.ct[..], &test.tag[..]].concat());
            }
            run += 1;
        }
    }
    assert!(run > 50, "only {run} vectors were found");
}

#[test]
fn hkdf_sha_256_agrees_with_every_vector() {
    let set = kdf::TestSet::load(kdf::TestName::HkdfSha256).expect("the vectors load");
    let mut run = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size.min(MOST_OKM + 1)];
        let expanded =
            Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
        if test.result == TestResult::Invalid {
            assert!(expanded.is_err(), "vector {}", test.tc_id);
        } else {
            assert!(expanded.is_ok(), "vector {}", test.tc_id);
            assert_eq!(okm, test.okm.as_slice(), "vector {}", test.tc_id);
        }
        run += 1;
    }
    assert!(run > 50, "only {run} vectors were found");
}

#[test]
fn hmac_sha_256_agrees_with_every_vector() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).expect("the vectors load");
    let mut run = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&test.key).expect("any length is a key");
        hmac.update(&test.msg);
        let verified = hmac.verify_truncated_left(&test.tag).is_ok();
        assert_eq!(
            verified,
            test.result != TestResult::Invalid,
            "vector {}",
            test.tc_id
        );
        run += 1;
    }
    assert!(run > 100, "only {run} vectors were found");
}

/// The plaintext, when nonce and tag have the right sizes and the tag fits.
fn open(test: &aead::Test) -> Option<Vec<u8>> {
    let nonce: [u8; 12] = test.nonce.as_slice().try_into().ok()?;
    let tag: [u8; 16] = test.tag.as_slice().try_into().ok()?;
    let mut body = test.ct.to_vec();
    cipher(test)
        .decrypt_inout_detached(
            &Nonce::from(nonce),
            &test.aad,
            body.as_mut_slice().into(),
            &Tag::from(tag),
        )
        .ok()
        .map(|()| body)
}

/// `ciphertext || tag` of a valid vector.
fn seal(test: &aead::Test) -> Vec<u8> {
    let nonce: [u8; 12] = test.nonce.as_slice().try_into().expect("a valid vector");
    let mut body = test.pt.to_vec();
    let tag = cipher(test)
        .encrypt_inout_detached(&Nonce::from(nonce), &test.aad, body.as_mut_slice().into())
        .expect("short texts");
    body.extend_from_slice(&tag);
    body
}

fn cipher(test: &aead::Test) -> Aes256GcmSiv {
    Aes256GcmSiv::new_from_slice(&test.key).expect("the group has 256-bit keys")
}
