//! What people do with an authenticator app.

use reqwest::Method;
use serde_json::{Value, json};
pub(crate) use stack::Authenticator;
use time::{Duration, OffsetDateTime};

use crate::{
    device::{Person, Tokens},
    replica::Region,
    service::{Answer, Service, sent},
};

/// One step of the clock.
pub(crate) const STEP: Duration = Duration::seconds(30);

/// Somebody whose account has a second factor.
pub(crate) struct Protected {
    pub(crate) person: Person,
    /// A session that was opened before it had.
    pub(crate) tokens: Tokens,
    pub(crate) authenticator: Authenticator,
    pub(crate) recovery_codes: Vec<String>,
}

impl Region {
    /// A new person with a second factor. The clock has moved on to a code that was not used: from then on the vault
    /// takes the service for one whose clock is wrong, and opens nothing that is not in memory.
    pub(crate) async fn protected(&self, identity: &Service) -> Protected {
        let person = identity.person().await;
        self.protection_of(identity, person).await
    }

    /// Two of them.
    pub(crate) async fn two_protected(&self, identity: &Service) -> (Protected, Protected) {
        let (ada, eve) = (identity.person().await, identity.person().await);
        (
            self.protection_of(identity, ada).await,
            self.protection_of(identity, eve).await,
        )
    }

    async fn protection_of(&self, identity: &Service, person: Person) -> Protected {
        let tokens = identity.logged_in(&person).await;
        let (authenticator, recovery_codes) = self.protect(identity, &person, &tokens).await;
        Protected {
            person,
            tokens,
            authenticator,
            recovery_codes,
        }
    }

    /// Sets up an authenticator; its recovery codes too.
    pub(crate) async fn protect(
        &self,
        identity: &Service,
        person: &Person,
        tokens: &Tokens,
    ) -> (Authenticator, Vec<String>) {
        let authenticator = identity.enrolled(person, tokens).await;
        let code = authenticator.code(self.clock.now());
        let confirmed = identity.confirm(tokens, &code).await;
        self.clock.advance(STEP);
        (authenticator, confirmed.recovery_codes())
    }

    pub(crate) fn code(&self, authenticator: &Authenticator) -> String {
        authenticator.code(self.clock.now())
    }
}

impl Service {
    pub(crate) async fn enrol(&self, tokens: &Tokens, password: &str) -> Answer {
        let body = json!({ "password": password });
        self.authorised(Method::POST, "mfa/totp", tokens, &body)
            .await
    }

    /// An authenticator that was set up and not confirmed.
    pub(crate) async fn enrolled(&self, person: &Person, tokens: &Tokens) -> Authenticator {
        let answer = self.enrol(tokens, &person.password).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Authenticator::new(answer.json()["secret"].as_str().expect("a secret"))
    }

    pub(crate) async fn confirm(&self, tokens: &Tokens, code: &str) -> Answer {
        let body = json!({ "code": code });
        self.authorised(Method::POST, "mfa/totp/confirm", tokens, &body)
            .await
    }

    pub(crate) async fn disable(&self, tokens: &Tokens, proofs: &Value) -> Answer {
        self.authorised(Method::DELETE, "mfa/totp", tokens, proofs)
            .await
    }

    pub(crate) async fn new_recovery_codes(&self, tokens: &Tokens, proofs: &Value) -> Answer {
        self.authorised(Method::POST, "mfa/recovery-codes", tokens, proofs)
            .await
    }

    /// A right password, which must not be enough; the challenge's token.
    pub(crate) async fn challenge(&self, person: &Person) -> String {
        let answer = self.login(&person.email, &person.password).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body = answer.json();
        assert_eq!(body["status"], "mfa_required", "{body}");
        body["mfa_token"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn verify_code(&self, mfa_token: &str, code: &str) -> Answer {
        let body = json!({ "mfa_token": mfa_token, "code": code });
        self.post("verify-mfa", &body).await
    }

    pub(crate) async fn verify_recovery(&self, mfa_token: &str, code: &str) -> Answer {
        let body = json!({ "mfa_token": mfa_token, "recovery_code": code });
        self.post("verify-mfa", &body).await
    }

    pub(crate) async fn authorised(
        &self,
        method: Method,
        path: &str,
        tokens: &Tokens,
        body: &Value,
    ) -> Answer {
        let request = self.request(method, &format!("/api/auth/{path}"));
        sent(request.bearer_auth(&tokens.access).json(body)).await
    }
}

impl Answer {
    pub(crate) fn recovery_codes(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.text);
        let codes = self.json()["recovery_codes"].as_array().cloned();
        let text = |code: &Value| code.as_str().expect("a text").to_owned();
        codes.expect("a list").iter().map(text).collect()
    }
}

#[test]
fn the_tests_own_authenticator_shows_the_codes_of_the_rfc() {
    let app = Authenticator::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    for (time, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (20_000_000_000, "353130"),
    ] {
        let now = OffsetDateTime::from_unix_timestamp(time).expect("a time");
        assert_eq!(app.code(now), code);
    }
}
