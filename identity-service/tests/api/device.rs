//! What a person's device does: log in, hold a pair of tokens, use them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use stack::until;

use crate::{
    accounts::{PASSWORD, somebody},
    service::{Answer, PATIENCE, Service, sent},
};

/// Somebody whose address is confirmed.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// The pair of tokens that a device holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    /// Whose they are.
    pub(crate) fn user_id(&self) -> String {
        let claims = claims(&self.access);
        claims["sub"].as_str().expect("a person").to_owned()
    }
}

impl Service {
    /// A new person with an account.
    pub(crate) async fn person(&self) -> Person {
        let person = Person {
            email: somebody(),
            password: PASSWORD.to_owned(),
        };
        self.account(&person.email, &person.password).await;
        person
    }

    /// A login that must succeed.
    pub(crate) async fn logged_in(&self, person: &Person) -> Tokens {
        self.login(&person.email, &person.password).await.tokens()
    }

    /// A login with another password.
    pub(crate) async fn mistyped(&self, person: &Person) -> Answer {
        let password = format!("{}?", person.password);
        self.login(&person.email, &password).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        let body = json!({ "refresh_token": refresh_token });
        self.post("refresh", &body).await
    }

    pub(crate) async fn me(&self, access_token: &str) -> Answer {
        let request = self.request(Method::GET, "/api/auth/me");
        sent(request.bearer_auth(access_token)).await
    }

    pub(crate) async fn logout(&self, access_token: &str) -> Answer {
        let request = self.request(Method::POST, "/api/auth/logout");
        sent(request.bearer_auth(access_token)).await
    }

    pub(crate) async fn jwks(&self) -> Answer {
        sent(self.request(Method::GET, "/.well-known/jwks.json")).await
    }

    /// Waits until a service that was just started can sign.
    pub(crate) async fn signs(&self) {
        let asked = async || {
            let status = self.jwks().await.status;
            (status == 200).then_some(()).ok_or(status)
        };
        until("the signing key", PATIENCE, asked)
            .await
            .expect("the vault opens it");
    }
}

impl Answer {
    /// The pair of an answer that must have one.
    pub(crate) fn tokens(&self) -> Tokens {
        assert_eq!(self.status, 200, "{}", self.text);
        let body = self.json();
        let token = |name: &str| body[name].as_str().expect("a token").to_owned();
        Tokens {
            access: token("access_token"),
            refresh: token("refresh_token"),
        }
    }
}

/// A 401 with that code.
pub(crate) fn unauthorized(code: &str) -> (u16, String) {
    (401, code.to_owned())
}

/// The claims of a token, unverified.
pub(crate) fn claims(access_token: &str) -> Value {
    part(access_token, 1)
}

/// The header of a token.
pub(crate) fn header(access_token: &str) -> Value {
    part(access_token, 0)
}

/// The token under a header that calls it something else.
pub(crate) fn retyped(access_token: &str, typ: &str) -> String {
    let (_, rest) = access_token.split_once('.').expect("a JWT has three parts");
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"any"}}"#);
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header))
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a JWT has three parts");
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&json).expect("JSON")
}

/// Does something to the account of a token, as an operator would: `$1` is its id.
pub(crate) async fn befall(identity: &Service, tokens: &Tokens, statement: &str) {
    let sub = claims(&tokens.access)["sub"].as_str().map(str::to_owned);
    let database = identity.database().await;
    let changed = database.execute(statement, &[&sub]).await;
    assert_eq!(changed.expect("an update"), 1);
}
