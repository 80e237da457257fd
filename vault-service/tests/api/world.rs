//! Everything around one vault: authority, services, identity's keys, a database, and files for its settings.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use poem::{Route, endpoint::make, get};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    jwk::JwkSet,
    postgres::{Connection, Pool},
    random,
    serve::{Edge, Limits, Server, Shutdown, Trigger},
    service::StartError,
    settings::Reader,
    telemetry::{self, LogLevel, Metrics},
    vault_client::{VaultClient, VaultSettings},
};
use stack::{
    database::{self, Database},
    suite_log,
};
use tokio::task::JoinHandle;
use uuid::Uuid;
use vault_service::{Application, Settings};

use crate::{
    authority::{Authority, Certified},
    client::{Answer, Client, Shredder},
    keys::{AUDIENCE, ISSUER, SigningKey},
};

/// The master key of the known answers.
pub(crate) const MASTER_KEY: &str =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// In the folder of a world.
pub(crate) const KEY_FILE: &str = "master-keys";

/// What a vault needs around it. Dropping it ends what it started and removes what it made.
pub(crate) struct World {
    pub(crate) authority: Authority,
    /// Identity's token signing key, published at its JWKS address.
    pub(crate) people: SigningKey,
    services: HashMap<&'static str, SigningKey>,
    pub(crate) environment: HashMap<&'static str, String>,
    pub(crate) pool: Pool,
    database: Database,
    folder: Folder,
    _identity: Trigger,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = database::cloned("vault").await;
        let authority = Authority::new();
        let people = SigningKey::new();
        let services: HashMap<_, _> = ["identity", "journal", "operator", "billing"]
            .map(|name| (name, SigningKey::new()))
            .into();
        let (jwks_url, identity) = publish(&people).await;
        let folder = Folder::new();
        let server = authority.server();
        let trusted = JwkSet {
            keys: services
                .iter()
                .map(|(name, key)| key.jwk(Some(name)))
                .collect(),
        };
        let trusted = serde_json::to_string(&trusted).expect("JSON");
        let environment = HashMap::from([
            ("LISTEN_ADDR", "127.0.0.1:0".to_owned()),
            ("OPS_LISTEN_ADDR", "127.0.0.1:0".to_owned()),
            ("DATABASE_URL", database.url().to_owned()),
            ("MASTER_ENCRYPTION_KEY", MASTER_KEY.to_owned()),
            (
                "TLS_CERT_FILE",
                folder.put("vault.pem", &server.certificate),
            ),
            ("TLS_KEY_FILE", folder.put("vault.key", &server.key)),
            ("TLS_CLIENT_CA_FILE", folder.put("ca.pem", &authority.pem)),
            ("SERVICE_JWKS_FILE", folder.put("services.json", &trusted)),
            ("ISSUER", ISSUER.to_owned()),
            ("AUDIENCE", AUDIENCE.to_owned()),
            ("IDENTITY_JWKS_URL", jwks_url),
            // What a test asks for in a second is no measure.
            ("LIMIT_PER_SECOND", "1000000".to_owned()),
        ]);
        Self {
            pool: Pool::new(&SecretString::from(database.url())).expect("a Postgres URL"),
            authority,
            people,
            services,
            environment,
            database,
            folder,
            _identity: identity,
        }
    }

    /// The same world with another value of one setting.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.insert(name, value.to_owned());
        self
    }

    /// The same world, whose master keys are in [`KEY_FILE`] and in no variable.
    pub(crate) fn with_key_file(mut self, keys: &str) -> Self {
        self.environment.remove("MASTER_ENCRYPTION_KEY");
        let file = self.folder.put(KEY_FILE, keys);
        self.with("MASTER_ENCRYPTION_KEY_FILE", &file)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub(crate) async fn db(&self) -> Connection {
        self.pool.get().await.expect("the test's database")
    }

    pub(crate) fn service_key(&self, name: &str) -> &SigningKey {
        &self.services[name]
    }

    /// Waits until a request waits for a lock that this connection has.
    pub(crate) async fn held_up_by(&self, holder: i32) {
        database::somebody_waits_for(self.database.url(), holder).await;
    }

    pub(crate) async fn build(&self) -> Result<Application, StartError> {
        let lookup = |name: &str| self.environment.get(name).cloned();
        Application::build(Settings::read(&lookup)?, Clock::system()).await
    }

    /// Starts a vault in this world.
    pub(crate) async fn start(&self) -> Vault {
        run(self.build().await.expect("the settings are good"))
    }

    /// The same, without one of its settings.
    pub(crate) async fn start_without(&self, setting: &str) -> Vault {
        let mut environment = self.environment.clone();
        environment.remove(setting);
        self.start_with(&environment).await
    }

    /// The same, with other settings.
    pub(crate) async fn start_with(&self, environment: &HashMap<&'static str, String>) -> Vault {
        let lookup = |name: &str| environment.get(name).cloned();
        let settings = Settings::read(&lookup).expect("the settings are good");
        run(Application::build(settings, Clock::system())
            .await
            .expect("free ports"))
    }

    /// A caller with the certificate and the token of that service.
    pub(crate) fn caller(&self, vault: &Vault, service: &'static str) -> Client {
        let uri = format!("spiffe://keystead/{service}");
        let certificate = self.authority.client(service, &[&uri]);
        let token = self
            .service_key(service)
            .service_token(service, "vault", time::Duration::ZERO);
        Client::new(vault.api, &self.authority.pem, Some(&certificate)).with_token(&token)
    }

    /// The same as the services themselves call.
    pub(crate) fn vault_client(&self, vault: &Vault, service: &'static str) -> VaultClient {
        let uri = format!("spiffe://keystead/{service}");
        let Certified { certificate, key } = self.authority.client(service, &[&uri]);
        let signer = self.service_key(service).pem();
        let environment = HashMap::from([
            ("VAULT_URL", format!("https://{}", vault.api)),
            (
                "VAULT_CA_FILE",
                self.folder.put("ca.pem", &self.authority.pem),
            ),
            (
                "CLIENT_CERT_FILE",
                self.folder.put("client.pem", &certificate),
            ),
            ("CLIENT_KEY_FILE", self.folder.put("client.key", &key)),
            ("SERVICE_KEY_FILE", self.folder.put("service.pem", &signer)),
        ]);
        let lookup = |name: &str| environment.get(name).cloned();
        let mut env = Reader::new(&lookup);
        let settings = VaultSettings::read(&mut env, service);
        let settings = env.finish(|| settings).expect("good settings");
        VaultClient::new(settings)
    }

    /// That service, about to shred.
    pub(crate) fn shredder(&self, vault: &Vault, service: &'static str) -> Shredder {
        Shredder {
            client: self.caller(vault, service),
            signer: Arc::new(self.service_key(service).signer(service)),
        }
    }

    /// What cannot be undone, as that service, with a token for this one request.
    pub(crate) async fn command(
        &self,
        vault: &Vault,
        service: &'static str,
        path: &str,
        body: Value,
    ) -> Answer {
        let caller = self.shredder(vault, service);
        let token = caller.token("POST", path, &body);
        caller.client.with_token(&token).post(path, &body).await
    }

    /// The journal, with the access token of that person at hand.
    pub(crate) fn journal_for(&self, vault: &Vault, person: Uuid) -> Client {
        self.caller(vault, "journal")
            .with_user_token(&self.people.access_token(person))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        suite_log::keep("vault.metrics", metrics().render().as_bytes());
    }
}

/// A running vault.
pub(crate) struct Vault {
    pub(crate) api: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) running: JoinHandle<Result<(), StartError>>,
    pub(crate) trigger: Trigger,
}

fn run(application: Application) -> Vault {
    let (trigger, shutdown) = Shutdown::manual();
    Vault {
        api: application.api_address(),
        ops: application.ops_address(),
        running: tokio::spawn(application.run(metrics(), shutdown)),
        trigger,
    }
}

/// A world and the vault in it, for tests that need no more.
pub(crate) async fn vault() -> (World, Vault) {
    let world = World::new().await;
    let vault = world.start().await;
    (world, vault)
}

/// A person, or a service's own thing, that no other test knows.
pub(crate) fn somebody() -> Uuid {
    random::uuid_v7(Clock::system().now())
}

/// Telemetry is installed once per process, and some test runners run many tests in one.
pub(crate) fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            suite_log::telling_panics(|| {
                let log = suite_log::file("vault.log");
                telemetry::install("vault", "test", LogLevel::TRACE, log).expect("the first")
            })
        })
        .clone()
}

/// Identity's JWKS address, with this one key.
async fn publish(key: &SigningKey) -> (String, Trigger) {
    let set = serde_json::to_string(&JwkSet {
        keys: vec![key.jwk(None)],
    })
    .expect("JSON");
    let answer = get(make(move |_| {
        let set = set.clone();
        async move { set }
    }));
    let document = json!({"paths": {"/jwks": {"get": {"operationId": "jwks"}}}});
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(address, Limits::default())
        .await
        .expect("a free port");
    let url = format!("http://{}/jwks", server.local_addr());
    let (trigger, shutdown) = Shutdown::manual();
    tokio::spawn(server.run(
        Edge::new(Route::new().at("/jwks", answer), &document),
        shutdown,
    ));
    (url, trigger)
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("keystead-vault-test-{}", hex::encode(random::bytes::<8>()));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a temporary folder");
        Self(path)
    }

    fn put(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a temporary file");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
