//! Ed25519 public keys as JSON Web Keys (RFC 7517, RFC 8037): what identity publishes and what every
//! service is told to trust.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A set of keys, as in `/.well-known/jwks.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys; their order says nothing.
    pub keys: Vec<Jwk>,
}

/// One public key for verifying `EdDSA` signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// The 32-byte public key, base64url.
    pub x: String,
    /// The name of the key: its RFC 7638 thumbprint.
    pub kid: String,
    /// In the set of trusted services: the service that signs with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A key that is not the one kind Keystead signs with.
#[derive(Debug, Error)]
#[error("not an Ed25519 signature key")]
pub struct UnusableKey;

impl Jwk {
    /// The public half of a signing key.
    pub fn of(pair: &Ed25519KeyPair) -> Self {
        Self::of_public_key(pair.public_key().as_ref())
    }

    /// The same for a public key by itself: 32 bytes.
    pub fn of_public_key(key: &[u8]) -> Self {
        let x = BASE64_URL_SAFE_NO_PAD.encode(key);
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: thumbprint(&x),
            x,
            service: None,
        }
    }

    /// The key for a verifier. Anything but Ed25519 for `EdDSA` signatures is refused, whatever it claims.
    pub fn decoding_key(&self) -> Result<DecodingKey, UnusableKey> {
        let kind = (
            self.kty.as_str(),
            self.crv.as_str(),
            self.alg.as_str(),
            self.usage.as_str(),
        );
        let x = BASE64_URL_SAFE_NO_PAD
            .decode(&self.x)
            .map_err(|_| UnusableKey)?;
        if kind != ("OKP", "Ed25519", "EdDSA", "sig") || x.len() != 32 {
            return Err(UnusableKey);
        }
        Ok(DecodingKey::from_ed_der(&x))
    }
}

/// RFC 7638 §3 with the members of RFC 8037 §2, in their order.
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037() {
        // RFC 8037, appendix A.3.
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn only_ed25519_signature_keys_are_taken() {
        let good = Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            kid: "k".to_owned(),
            service: None,
        };
        assert!(good.decoding_key().is_ok());
        let others = [
            Jwk {
                kty: "oct".to_owned(),
                ..good.clone()
            },
            Jwk {
                crv: "X25519".to_owned(),
                ..good.clone()
            },
            Jwk {
                alg: "HS256".to_owned(),
                ..good.clone()
            },
            Jwk {
                usage: "enc".to_owned(),
                ..good.clone()
            },
            Jwk {
                x: "AAAA".to_owned(),
                ..good.clone()
            },
        ];
        assert!(others.iter().all(|key| key.decoding_key().is_err()));
    }
}
