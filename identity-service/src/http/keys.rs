//! `/.well-known/jwks.json`: what everybody else verifies access tokens with.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use shared::{
    jwk,
    problem::{Problem, Unexpected},
    serve::Json,
};

use super::Tag;
use crate::Identity;

/// Short enough that a withdrawn key is soon unknown, long enough that nobody has to ask for every token.
const CACHING: &str = "public, max-age=300";

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
    ),
}

/// Keys; the service comes with the request.
pub(super) struct KeysApi;

#[OpenApi(tag = "Tag::Keys")]
impl KeysApi {
    /// Get the public keys
    ///
    /// Every key that a good access token may be signed with: the present one, the one to come, and those
    /// retired a moment ago. Look it up by `kid`; fetch the set again for a `kid` you do not know.
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        operation_id = "get_jwks"
    )]
    #[expect(clippy::unused_async, reason = "operations are async")]
    async fn jwks(&self, identity: Data<&Arc<Identity>>) -> Result<Published, Problem<Unexpected>> {
        // An empty set would teach verifiers that our keys are gone.
        identity.signing.active()?;
        let keys = identity
            .signing
            .published()
            .keys
            .into_iter()
            .map(PublicKey::from)
            .collect();
        Ok(Published::Keys(Json(KeySet { keys }), CACHING.to_owned()))
    }
}
