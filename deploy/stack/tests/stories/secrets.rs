//! Everything that only a person or a service may know, collected where each of them has it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::envelope::{DataKey, RecordContext};
use shared::settings::Reader;
use shared::vault_client::{KeyOf, VaultClient, VaultSettings, WrappedKey};
use stack::{Answer, Authenticator, Person, Service, Stack, mail};
use time::Duration;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// A name for messages, and the bytes.
pub(crate) type Secret = (String, Vec<u8>);

/// The secrets of a stack and of a person who has written an entry. `texts` are what they wrote.
pub(crate) async fn of(stack: &Stack, ada: &Person, texts: [(&str, &str); 2]) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut note = |what: &str, secret: &str| {
        assert!(secret.len() >= 8, "{what} is no secret: {secret}");
        secrets.push((what.to_owned(), secret.as_bytes().to_vec()));
    };
    for (what, text) in texts {
        note(what, text);
    }
    note("the address", &ada.email);
    note("the password", &ada.password);
    note("the access token", &ada.access_token);
    note("the refresh token", &ada.refresh_token);
    let mails = mail::all(&stack.addresses().mail_dir, Some(&ada.email)).unwrap();
    let tokens: Vec<_> = mails.iter().filter_map(mail::Mail::token).collect();
    assert!(!tokens.is_empty());
    for token in tokens {
        note("a mail token", token);
    }

    let credentials = json!({ "email": ada.email, "password": ada.password });
    let login = post(ada, "/login", credentials.clone()).await;
    note("the device token", login.text("/device_token"));
    let in_cookies = json!({ "email": ada.email, "password": ada.password, "session": "cookie" });
    let page = post(ada, "/login", in_cookies).await;
    note("the CSRF token", page.text("/csrf_token"));
    for cookie in page.headers.get_all("set-cookie") {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        note("a cookie", pair.split_once('=').unwrap().1);
    }

    let offered = post(ada, "/mfa/totp", json!({ "password": ada.password })).await;
    note("the secret of the app", offered.text("/secret"));
    let app = Authenticator::new(offered.text("/secret"));
    let confirmation = json!({ "code": app.code(Clock::system().now()) });
    let confirmed = post(ada, "/mfa/totp/confirm", confirmation).await;
    let codes = confirmed.body.get("recovery_codes").unwrap();
    for code in codes.as_array().unwrap() {
        note("a recovery code", code.as_str().unwrap());
    }
    let challenge = post(ada, "/login", credentials).await;
    note("the MFA token", challenge.text("/mfa_token"));
    let next = app.code(Clock::system().now() + Duration::seconds(30));
    let both = json!({ "mfa_token": challenge.text("/mfa_token"), "code": next });
    let session = post(ada, "/verify-mfa", both).await;
    note("the newest access token", session.text("/access_token"));

    secrets.push(("the bytes of the app".to_owned(), app.secret().to_vec()));
    secrets.extend(sealed(stack, ada).await);
    secrets.extend(in_files(stack));
    secrets
}

/// Keys of services, as the launcher made them.
fn in_files(stack: &Stack) -> Vec<Secret> {
    let file = |name: &str| {
        let text = std::fs::read_to_string(stack.folder().join("secrets").join(name)).unwrap();
        text.trim().to_owned()
    };
    let mut secrets = Vec::new();
    for (what, name) in [
        ("the master key", "master_encryption_key"),
        ("identity's secret", "identity_secret_keys"),
    ] {
        let digits = file(name).replace("v1:", "");
        secrets.push((format!("{what} as bytes"), hex::decode(&digits).unwrap()));
        secrets.push((what.to_owned(), digits.into_bytes()));
    }
    for name in ["postgres", "redis", "identity", "vault", "journal"] {
        let password = file(&format!("{name}_password"));
        secrets.push((format!("the password of {name}"), password.into_bytes()));
    }
    for service in Service::ALL {
        let name = service.name();
        let key = stack.folder().join("tls").join(format!("{name}.key"));
        let pem = std::fs::read_to_string(key).unwrap();
        let body: String = pem.lines().filter(|line| !line.contains("---")).collect();
        let der = STANDARD.decode(&body).unwrap();
        secrets.push((format!("the TLS key of {name}"), der));
    }
    for service in [Service::Identity, Service::Journal] {
        let pem = file(&format!("{}_service_key.pem", service.name()));
        let body: String = pem.lines().filter(|line| !line.contains("---")).collect();
        let der = STANDARD.decode(&body).unwrap();
        // RFC 8410 §7: the seed follows sixteen bytes that are the same for every key.
        let seed = der.get(16..48).expect("an Ed25519 key").to_vec();
        let name = service.name();
        secrets.push((format!("the seed of {name}'s service key"), seed));
        secrets.push((format!("the service key of {name}"), body.into_bytes()));
    }
    secrets
}

/// Data keys in the clear, fetched as their services fetch them, and the seed that signs access tokens.
async fn sealed(stack: &Stack, ada: &Person) -> Vec<Secret> {
    let journal = Keys::of(stack, Service::Journal).await;
    let identity = Keys::of(stack, Service::Identity).await;
    let person = ada.id.parse().unwrap();
    let proof = SecretString::from(ada.access_token.clone());
    let entries = "SELECT wrapped_key FROM data_keys WHERE user_id = $1";
    let entries = journal.open(entries, person, "entries", Some(&proof)).await;
    let account = "SELECT wrapped_key FROM accounts WHERE user_id = $1";
    let account = identity.open(account, person, "account", None).await;
    let ids = identity.ids("SELECT key_id FROM service_keys").await;
    let outbox = *ids.first().expect("one key seals the outbox");
    let waiting = "SELECT wrapped_key FROM service_keys WHERE key_id = $1";
    let waiting = identity.open(waiting, outbox, "outbox", None).await;
    let mut secrets = vec![
        (
            "the data key of the entries".to_owned(),
            entries.expose().to_vec(),
        ),
        (
            "the data key of the account".to_owned(),
            account.expose().to_vec(),
        ),
        (
            "the data key of the outbox".to_owned(),
            waiting.expose().to_vec(),
        ),
    ];
    let ids = identity.ids("SELECT key_id FROM signing_keys").await;
    assert!(ids.len() >= 2, "one that signs, and the next");
    for id in ids {
        let wrapped = "SELECT wrapped_key FROM signing_keys WHERE key_id = $1";
        let key = identity.open(wrapped, id, "signing-key", None).await;
        let sealed = "SELECT sealed_seed FROM signing_keys WHERE key_id = $1";
        let place = RecordContext {
            owner: "identity",
            subject: id,
            collection: "signing_key",
            field: "seed",
            record_id: id,
            revision: 1,
        };
        let seed = key.open(&place, &identity.bytes(sealed, id).await).unwrap();
        secrets.push((
            "the data key of a signing key".to_owned(),
            key.expose().to_vec(),
        ));
        secrets.push(("the seed of a signing key".to_owned(), seed.to_vec()));
    }
    secrets
}

/// What a service opens: its rows, and its way to the vault.
struct Keys {
    database: tokio_postgres::Client,
    vault: VaultClient,
}

impl Keys {
    async fn of(stack: &Stack, owner: Service) -> Self {
        let vault = vault_of(stack, owner);
        let url = stack.addresses().database.of(owner);
        let (database, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { database, vault }
    }

    async fn ids(&self, sql: &str) -> Vec<Uuid> {
        let rows = self.database.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn bytes(&self, sql: &str, id: Uuid) -> Vec<u8> {
        self.database.query_one(sql, &[&id]).await.unwrap().get(0)
    }

    async fn open(
        &self,
        sql: &str,
        subject: Uuid,
        purpose: &'static str,
        proof: Option<&SecretString>,
    ) -> Arc<DataKey> {
        let wrapped = WrappedKey::from_bytes(self.bytes(sql, subject).await);
        let of = KeyOf {
            subject,
            purpose,
            generation: 1,
        };
        let now = Clock::system().now();
        self.vault.unwrap(of, &wrapped, proof, now).await.unwrap()
    }
}

/// The vault as one of its callers sees it.
pub(crate) fn vault_of(stack: &Stack, owner: Service) -> VaultClient {
    let folder = stack.folder().to_path_buf();
    let (addresses, name) = (stack.addresses(), owner.name());
    let settings = |setting: &str| {
        let file = |path: String| Some(folder.join(path).display().to_string());
        match setting {
            "VAULT_URL" => Some(addresses.api.vault.clone()),
            "VAULT_CA_FILE" => Some(addresses.ca_file.display().to_string()),
            "CLIENT_CERT_FILE" => file(format!("tls/{name}.pem")),
            "CLIENT_KEY_FILE" => file(format!("tls/{name}.key")),
            "SERVICE_KEY_FILE" => file(format!("secrets/{name}_service_key.pem")),
            _ => None,
        }
    };
    let mut reader = Reader::new(&settings);
    VaultClient::new(VaultSettings::read(&mut reader, name).unwrap())
}

/// The key of somebody's journal, as its table has it.
pub(crate) async fn wrapped_key_of(stack: &Stack, person: &Person) -> WrappedKey {
    let url = stack.addresses().database.of(Service::Journal);
    let (database, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "SELECT wrapped_key FROM data_keys WHERE user_id::text = $1";
    let row = database.query_one(sql, &[&person.id]).await.unwrap();
    WrappedKey::from_bytes(row.get(0))
}

async fn post(ada: &Person, path: &str, body: Value) -> Answer {
    let answer = ada.identity(Method::POST, path, Some(body)).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}
