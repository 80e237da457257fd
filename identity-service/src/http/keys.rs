//! `/.well-known/jwks.json`: what everybody else verifies access tokens with.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Header,
    types::{Example, ToJSON},
};
use sha2::{Digest, Sha256};
use shared::{
    jwk,
    problem::{Problem, Unexpected},
    serve::Json,
};

use super::Tag;
use crate::Identity;

/// Short enough that a withdrawn key is soon unknown, long enough that nobody has to ask for every token. What
/// [`shared::access_token::Verifier`] keeps to.
const CACHING: &str = "public, max-age=60";

/// The public half of a signing key (RFC 8037).
#[derive(Object)]
struct PublicKey {
    /// `OKP`
    kty: String,
    /// `Ed25519`
    crv: String,
    /// `EdDSA`
    alg: String,
    /// `sig`
    #[oai(rename = "use")]
    usage: String,
    /// The key, base64url.
    x: String,
    /// Its name in the header of tokens: the RFC 7638 thumbprint.
    kid: String,
}

/// A JWK set (RFC 7517).
#[derive(Object)]
#[oai(example)]
struct KeySet {
    keys: Vec<PublicKey>,
}

impl Example for KeySet {
    fn example() -> Self {
        let key = PublicKey {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            kid: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k".to_owned(),
        };
        Self { keys: vec![key] }
    }
}

impl From<jwk::Jwk> for PublicKey {
    fn from(key: jwk::Jwk) -> Self {
        Self {
            kty: key.kty,
            crv: key.crv,
            alg: key.alg,
            usage: key.usage,
            x: key.x,
            kid: key.kid,
        }
    }
}

#[derive(ApiResponse)]
enum Published {
    /// The keys.
    #[oai(status = 200)]
    Keys(
        Json<KeySet>,
        /// How long the set may be kept.
        #[oai(header = "Cache-Control")]
        String,
        /// Names this very set.
        #[oai(header = "ETag")]
        String,
    ),
    /// The set is the one that `If-None-Match` names.
    #[oai(status = 304)]
    Unchanged(
        /// How much longer it may be kept.
        #[oai(header = "Cache-Control")]
        String,
        /// Names the set.
        #[oai(header = "ETag")]
        String,
    ),
}

/// A strong entity tag (RFC 9110 §8.8.3): the same for all replicas that publish the same keys.
fn entity_tag(keys: &KeySet) -> String {
    let hash = Sha256::digest(keys.to_json_string());
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(hash))
}

/// `If-None-Match`, by weak comparison (RFC 9110 §13.1.2).
fn names(if_none_match: &str, tag: &str) -> bool {
    let mut listed = if_none_match.split(',').map(str::trim);
    listed.any(|listed| listed == "*" || listed.strip_prefix("W/").unwrap_or(listed) == tag)
}

/// Keys; the service comes with the request.
pub(super) struct KeysApi;

#[OpenApi(tag = "Tag::Keys")]
impl KeysApi {
    /// Get the public keys
    ///
    /// Every key that a good access token may be signed with: the present one, the one to come, and those
    /// retired a moment ago. Look it up by `kid`; fetch the set again for a `kid` you do not know, and after
    /// `max-age` in any case: a key that is no longer in it was withdrawn.
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        operation_id = "get_jwks"
    )]
    #[expect(clippy::unused_async, reason = "operations are async")]
    async fn jwks(
        &self,
        identity: Data<&Arc<Identity>>,
        /// Entity tags of sets that the client has.
        #[oai(name = "If-None-Match")]
        if_none_match: Header<Option<String>>,
    ) -> Result<Published, Problem<Unexpected>> {
        // An empty set would teach verifiers that our keys are gone.
        identity.signing.active()?;
        let keys = identity.signing.published().keys;
        let keys = KeySet {
            keys: keys.into_iter().map(PublicKey::from).collect(),
        };
        let (caching, tag) = (CACHING.to_owned(), entity_tag(&keys));
        if if_none_match.0.is_some_and(|known| names(&known, &tag)) {
            return Ok(Published::Unchanged(caching, tag));
        }
        Ok(Published::Keys(Json(keys), caching, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_set_is_recognised_in_every_form_a_cache_sends() {
        for known in ["\"a\"", "W/\"a\"", "*", "\"b\", \"a\"", "\"b\",W/\"a\" "] {
            assert!(names(known, "\"a\""), "{known}");
        }
        for unknown in ["", "a", "\"b\"", "\"A\"", "\"a", "\"a\"b", "w/\"a\""] {
            assert!(!names(unknown, "\"a\""), "{unknown}");
        }
    }
}
