//! One set of forged access tokens against every place that takes access tokens over HTTP.

use reqwest::{Client, Url};
use serde_json::Value;
use shared::{
    clock::Clock,
    envelope::RecordContext,
    service_token::Signer,
    settings::Reader,
    vault_client::{KeyOf, VaultClient, VaultSettings},
};
use stack::forgery::{self, Forgery, Key};
use stack::{Person, Service, Stack, until};
use std::time::Duration;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn no_forged_token_counts_anywhere() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let ada = Person::new(stack.addresses(), "ada").await;
    ada.write("mine", "for nobody else").await;
    // What is wrong must be the forgery alone: the services trust this key as one of their own.
    let trusted = Key::new();
    publish(&stack, &trusted).await;
    let claims = forgery::claims(&ada.access_token);
    let good = trusted.sign(&trusted.header("at+jwt"), &claims);
    let places = Places::of(&stack);
    until("the key trusted everywhere", LIMIT, async || {
        let answers = places.ask(&good).await;
        if answers.iter().all(|(_, status, _)| *status == 200) {
            Ok(())
        } else {
            Err(format!("{answers:?}"))
        }
    })
    .await
    .unwrap();

    // A proxy cannot check what the cookie of a browser session needs beside it.
    let browser = forgery::with(claims.clone(), "csrf", "of a session");
    let browser = trusted.sign(&trusted.header("at+jwt"), &browser);
    for (place, status, answer) in places.ask(&browser).await {
        let refused = status == 401 && answer.contains("wrong_token_type");
        assert_eq!(refused, place == "verify", "{place}: {status} {answer}");
    }

    let forgeries = forgery::all(&trusted, &claims);
    assert!(forgeries.len() > 90, "{}", forgeries.len());
    let mut counted = Vec::new();
    for forged in &forgeries {
        for (place, status, answer) in places.ask(&forged.token).await {
            if !refused(forged, place, status, &answer) {
                counted.push(format!("{place}: {} ({status} {answer})", forged.what));
            }
        }
    }
    assert!(counted.is_empty(), "{counted:#?}");
    let answers = places.ask(&good).await;
    assert!(
        answers.iter().all(|(_, status, _)| *status == 200),
        "{answers:?}"
    );
}

fn refused(forged: &Forgery, place: &str, status: u16, answer: &str) -> bool {
    if place == "introspect" {
        return status == 401;
    }
    let problem: Value = serde_json::from_str(answer).unwrap_or_default();
    let code = problem
        .get("code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // A blank makes it another credential altogether, and so do letters that no token has.
    let odd = forged.token.contains(' ') || !forged.token.is_ascii();
    let another = odd && code == "unauthorized";
    status == 401 && (code == forged.code || another)
}

/// Where access tokens are taken.
struct Places {
    http: Client,
    identity: String,
    journal: String,
    asking: Signer,
}

impl Places {
    fn of(stack: &Stack) -> Self {
        let key = stack.folder().join("secrets/journal_service_key.pem");
        let key = std::fs::read_to_string(key).unwrap();
        Self {
            http: Client::builder().no_proxy().timeout(LIMIT).build().unwrap(),
            identity: stack.addresses().api.identity.clone(),
            journal: stack.addresses().api.journal.clone(),
            asking: Signer::from_pem("journal", &key).unwrap(),
        }
    }

    /// Each place with the status and text of its answer, except where HTTP itself has no room for the token.
    async fn ask(&self, token: &str) -> Vec<(&'static str, u16, String)> {
        let mut answers = Vec::new();
        for (place, url) in [
            ("me", format!("{}/api/auth/me", self.identity)),
            ("verify", format!("{}/api/auth/verify", self.identity)),
            ("journal", format!("{}/api/entries", self.journal)),
        ] {
            let request = self.http.get(url).bearer_auth(token).build();
            if let Ok(request) = request {
                answers.push(self.send(place, request).await);
            }
        }
        let form = Url::parse_with_params("http://form", [("token", token)]).unwrap();
        let service_token = self.asking.token("identity", Clock::system().now());
        let request = self
            .http
            .post(format!("{}/api/auth/introspect", self.identity))
            .bearer_auth(service_token)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap().to_owned());
        let (place, status, text) = self.send("introspect", request.build().unwrap()).await;
        // It answers questions, and the answer is in the body.
        let status = match (status, text.as_str()) {
            (200, r#"{"active":false}"#) => 401,
            (200, active) if !active.starts_with(r#"{"active":true,"#) => 500,
            _ => status,
        };
        answers.push((place, status, text));
        answers
    }

    async fn send(
        &self,
        place: &'static str,
        request: reqwest::Request,
    ) -> (&'static str, u16, String) {
        let answer = self.http.execute(request).await.unwrap();
        (
            place,
            answer.status().as_u16(),
            answer.text().await.unwrap(),
        )
    }
}

/// Gives identity a retired key of our own, sealed as it seals its own: with its place in the vault and in the database,
/// which nobody else has.
async fn publish(stack: &Stack, key: &Key) {
    let now = Clock::system().now();
    let addresses = stack.addresses();
    let folder = stack.folder().to_owned();
    let file = |path: &str| Some(folder.join(path).display().to_string());
    let lookup = |name: &str| match name {
        "VAULT_URL" => Some(addresses.api.vault.clone()),
        "VAULT_CA_FILE" => Some(addresses.ca_file.display().to_string()),
        "CLIENT_CERT_FILE" => file("tls/identity.pem"),
        "CLIENT_KEY_FILE" => file("tls/identity.key"),
        "SERVICE_KEY_FILE" => file("secrets/identity_service_key.pem"),
        _ => None,
    };
    let mut env = Reader::new(&lookup);
    let settings = VaultSettings::read(&mut env, "identity").unwrap();
    let vault = VaultClient::new(settings);
    let key_id = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
    let of = KeyOf {
        subject: key_id,
        purpose: "signing-key",
        generation: 1,
    };
    let (wrapped, data_key) = vault.create(of, None, now).await.unwrap();
    let place = RecordContext {
        owner: "identity",
        subject: key_id,
        collection: "signing_key",
        field: "seed",
        record_id: key_id,
        revision: 1,
    };
    let sealed = data_key.seal(&place, key.seed()).unwrap();
    let (database, connection) = tokio_postgres::connect(
        addresses.database.of(Service::Identity),
        tokio_postgres::NoTls,
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let sql = "INSERT INTO signing_keys (kid, key_id, state, sealed_seed, wrapped_key, created_at, retired_at)
               VALUES ($1, $2, 'retired', $3, $4, $5, $5)";
    database
        .execute(sql, &[&key.kid(), &key_id, &sealed, &wrapped.bytes(), &now])
        .await
        .unwrap();
}
