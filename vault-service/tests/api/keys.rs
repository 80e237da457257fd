//! Signing keys of services and of identity, and the tokens that they sign.

use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};
use shared::{
    access_token::Claims, clock::Clock, jwk::Jwk, service_token::Signer, user_id::UserId,
};
use time::Duration;
use uuid::Uuid;

pub(crate) const ISSUER: &str = "http://identity.test";
pub(crate) const AUDIENCE: &str = "keystead";

/// An Ed25519 key.
pub(crate) struct SigningKey(KeyPair);

impl SigningKey {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    pub(crate) fn jwk(&self, service: Option<&str>) -> Jwk {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.0.serialized_der());
        let mut jwk = Jwk::of(&pair.expect("an Ed25519 key"));
        jwk.service = service.map(str::to_owned);
        jwk
    }

    /// A service token for the vault, made as long ago as `age`.
    pub(crate) fn service_token(
        &self,
        service: &str,
        audience: &'static str,
        age: Duration,
    ) -> String {
        let now = Clock::system().now() - age;
        self.signer(service).token(audience, now)
    }

    pub(crate) fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    pub(crate) fn signer(&self, service: &str) -> Signer {
        Signer::from_pem(service, &self.pem()).expect("an Ed25519 key")
    }

    /// A good access token of that person.
    pub(crate) fn access_token(&self, person: Uuid) -> String {
        self.sign(shared::access_token::TYPE, &claims(person))
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Claims) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.jwk(None).kid);
        let key = EncodingKey::from_ed_der(self.0.serialized_der());
        encode(&header, claims, &key).expect("signed")
    }
}

/// What a good access token says.
pub(crate) fn claims(person: Uuid) -> Claims {
    let now = Clock::system().now().unix_timestamp();
    Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: UserId::new(person),
        sid: Uuid::from_u128(1),
        jti: Uuid::from_u128(2),
        iat: now,
        exp: now + 900,
        auth_time: now,
        amr: vec!["pwd".to_owned()],
        nbf: None,
        csrf: None,
    }
}
