//! Receipts: what the vault signs when a subject's salt is gone, for anybody to verify.
//!
//! A receipt is a JWS in compact form (RFC 7515) whose header says `{"alg":"EdDSA","typ":"shred-receipt+jwt",
//! "kid":…}` and whose payload names the shred (`jti`), the subject (`sub`), when it was asked for
//! (`requested_at`), when the salt went (`iat`), and the version of the master key whose Ed25519 key signed
//! (`mek_version`). That key follows from the master key alone, so every replica signs with the same one and no
//! database has it. A signature, and not a MAC: an auditor verifies it with the published key, without the vault.

use std::collections::HashMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, decode, encode};
use serde::{Deserialize, Serialize};
use shared::{
    jwk::{Jwk, JwkSet},
    jws::{key_name, signature_only},
};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use super::keyring::{KeyVersion, Keyring};

const TYPE: &str = "shred-receipt+jwt";
const ISSUER: &str = "vault";
const LONGEST: usize = 1024;

/// What a receipt states. Times are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) shred_id: Uuid,
    pub(crate) subject: Uuid,
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) purged_at: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    jti: Uuid,
    iat: i64,
    requested_at: i64,
    mek_version: u32,
}

/// Not a receipt of this vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a receipt that this vault has signed")]
pub(crate) struct NotAReceipt;

/// The public halves of the keys that sign and have signed receipts, by master key version.
#[derive(Default)]
pub(crate) struct ReceiptKeys(HashMap<String, (KeyVersion, Jwk)>);

impl ReceiptKeys {
    /// Keys that were known by the database, and, above them, those of the ring.
    pub(crate) fn new(
        remembered: impl IntoIterator<Item = (KeyVersion, [u8; 32])>,
        keyring: &Keyring,
    ) -> Self {
        let held = keyring.receipt_keys();
        let is_held = |version| held.iter().any(|(known, _)| *known == version);
        let others = remembered
            .into_iter()
            .filter(|(version, _)| !is_held(*version));
        let all = others.chain(held.iter().copied()).map(|(version, key)| {
            let jwk = Jwk::of_public_key(&key);
            (jwk.kid.clone(), (version, jwk))
        });
        Self(all.collect())
    }

    /// For whoever verifies receipts. Oldest first.
    pub(crate) fn published(&self) -> JwkSet {
        let mut keys: Vec<_> = self.0.values().collect();
        keys.sort_unstable_by_key(|(version, _)| *version);
        JwkSet {
            keys: keys.into_iter().map(|(_, jwk)| jwk.clone()).collect(),
        }
    }

    /// What a receipt states, when one of these keys signed it.
    pub(crate) fn verify(&self, receipt: &str) -> Result<Statement, NotAReceipt> {
        let kid = key_name(receipt, TYPE, LONGEST).map_err(|_| NotAReceipt)?;
        let (version, jwk) = self.0.get(&kid).ok_or(NotAReceipt)?;
        let key: DecodingKey = jwk.decoding_key().map_err(|_| NotAReceipt)?;
        let Claims {
            iss,
            sub,
            jti,
            iat,
            requested_at,
            mek_version,
        } = decode(receipt, &key, &signature_only())
            .map_err(|_| NotAReceipt)?
            .claims;
        if iss != ISSUER || mek_version != version.number() {
            return Err(NotAReceipt);
        }
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| NotAReceipt);
        Ok(Statement {
            shred_id: jti,
            subject: sub,
            requested_at: time(requested_at)?,
            purged_at: time(iat)?,
        })
    }
}

impl Keyring {
    /// Signs a receipt with the key of the current master key.
    pub(crate) fn sign_receipt(&self, statement: &Statement) -> String {
        let version = self.current();
        let pair = self
            .receipt_pair(version)
            .expect("the current version is in the ring");
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(Jwk::of(&pair).kid);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: statement.subject,
            jti: statement.shred_id,
            iat: statement.purged_at.unix_timestamp(),
            requested_at: statement.requested_at.unix_timestamp(),
            mek_version: version.number(),
        };
        let der = pair.to_pkcs8v1().expect("a key pair has a PKCS#8 form");
        encode(&header, &claims, &EncodingKey::from_ed_der(der.as_ref()))
            .expect("an Ed25519 key signs any JSON object")
    }

    /// The public keys that verify receipts of every version in the ring, oldest first.
    pub(crate) fn receipt_keys(&self) -> Vec<(KeyVersion, [u8; 32])> {
        let versions = self.versions().iter();
        versions
            .filter_map(|(version, _)| {
                let pair = self.receipt_pair(*version)?;
                Some((*version, pair.public_key().as_ref().try_into().ok()?))
            })
            .collect()
    }

    fn receipt_pair(&self, version: KeyVersion) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(self.receipt_seed(version)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::keyring::tests::{COUNTING, ring};

    const OTHER: &str = "8f1d3c5b7a9e0c2d4f6b8a1c3e5d7f9b0a2c4e6d8f1b3a5c7e9d0f2b4a6c8e1d";

    /// Of the master key 00..1f, version 1; the API document shows it.
    const KNOWN: &str = "eyJ0eXAiOiJzaHJlZC1yZWNlaXB0K2p3dCIsImFsZyI6IkVkRFNBIiwia2lkIjoiejM0ZDVUM01sbTRyRDVQUGQzN0dSTXBIY01O\
        bVVRODFHT09LS2NuTWFHTSJ9.eyJpc3MiOiJ2YXVsdCIsInN1YiI6IjAxOThjMGRlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDA\
        wMSIsImp0aSI6IjAxOThjMGRlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDBmMSIsImlhdCI6MTc5NjEyNjQwMCwicmVxdWVzdGV\
        kX2F0IjoxNzk1NTIxNjAwLCJtZWtfdmVyc2lvbiI6MX0.NyK1MJjO9V8GJDmmNvUr2TKhmUqUmgL1FBg9k-NK_YejsvgW1Ue3hkH\
        FdUDHMRY2KmctPofd4njYI4uAKoz0Cw";

    fn statement() -> Statement {
        Statement {
            shred_id: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00f1),
            subject: Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001),
            requested_at: datetime!(2026-11-24 12:00 UTC),
            purged_at: datetime!(2026-12-01 12:00 UTC),
        }
    }

    fn keys(ring: &Keyring) -> ReceiptKeys {
        ReceiptKeys::new([], ring)
    }

    #[test]
    fn a_receipt_says_what_was_signed_and_every_replica_signs_the_same() {
        let receipt = ring(COUNTING).sign_receipt(&statement());
        assert_eq!(receipt, ring(COUNTING).sign_receipt(&statement()));
        assert_eq!(receipt, KNOWN);
        assert_eq!(keys(&ring(COUNTING)).verify(&receipt), Ok(statement()));
    }

    #[test]
    fn a_receipt_outlives_its_master_key() {
        let receipt = ring(COUNTING).sign_receipt(&statement());
        let newer = ring(&format!("2:{OTHER}"));
        assert_eq!(keys(&newer).verify(&receipt), Err(NotAReceipt));
        let remembered = ring(COUNTING).receipt_keys();
        let keys = ReceiptKeys::new(remembered, &newer);
        assert_eq!(keys.verify(&receipt), Ok(statement()));
        assert_eq!(keys.published().keys.len(), 2);
    }

    #[test]
    fn the_database_does_not_say_what_a_held_version_signs_with() {
        let stranger = ring(OTHER);
        let forged = stranger.sign_receipt(&statement());
        let keys = ReceiptKeys::new(stranger.receipt_keys(), &ring(COUNTING));
        assert_eq!(keys.verify(&forged), Err(NotAReceipt));
    }

    #[test]
    fn nothing_changed_is_a_receipt() {
        let keys = keys(&ring(COUNTING));
        let receipt = ring(COUNTING).sign_receipt(&statement());
        for at in 0..receipt.len() {
            let mut changed = receipt.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).expect("still ASCII");
            assert_eq!(keys.verify(&changed), Err(NotAReceipt), "byte {at}");
            assert_eq!(keys.verify(&receipt[..at]), Err(NotAReceipt));
        }
        let forged = ring(OTHER).sign_receipt(&statement());
        for other in ["", "nonsense", &forged] {
            assert_eq!(keys.verify(other), Err(NotAReceipt), "{other}");
        }
    }
}
