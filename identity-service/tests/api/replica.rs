//! Identity services inside the test: on a database of their own, with a clock that the test moves.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

use identity_service::{Application, Settings};
use reqwest::Method;
use serde_json::Value;
use shared::{
    clock::Clock,
    postgres::Pool,
    random,
    serve::{Shutdown, Trigger},
    settings::Reader,
    telemetry::{self, LogLevel, Metrics},
    vault_client::{VaultClient, VaultSettings},
};
use stack::{
    Addresses,
    database::{self, Database},
    suite_log, until,
};
use time::Duration;

use crate::service::{PATIENCE, Service, connected, sent};

const PROGRAM: &str = env!("CARGO_BIN_EXE_identity-service");

/// A database, a folder for mail, a secret and a clock, for any number of services that share them.
pub(crate) struct Region {
    pub(crate) clock: Clock,
    database: Database,
    mail_dir: PathBuf,
    /// Its own, so that it shares no counter in Redis with a region whose clock is elsewhere.
    secret: String,
    /// Over what is set otherwise.
    settings: Vec<(String, String)>,
    limited: bool,
}

/// A running service; dropping it stops it.
pub(crate) struct Replica {
    pub(crate) service: Service,
    ops: Service,
    _trigger: Trigger,
}

impl Region {
    /// Its clock starts at the true time, since the vault of the test run has no other.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with settings of its own.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let name = format!("mail-{}", hex::encode(random::bytes::<8>()));
        // Where the end of the test run takes away what a service writes after the end of its test.
        let mail_dir = Addresses::of_the_test_run().stack_dir.join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&mail_dir);
        made.expect("a temporary folder");
        Self {
            clock: Clock::manual(Clock::system().now()),
            database: database::cloned("identity").await,
            mail_dir,
            secret: format!("v1:{}", hex::encode(random::bytes::<32>())),
            settings: settings.iter().map(own).collect(),
            limited: false,
        }
    }

    /// With the limits that users get; otherwise clients come as often as they like.
    pub(crate) fn limited(mut self) -> Self {
        self.limited = true;
        self
    }

    /// Gives services that start from now on another setting.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.insert(0, (name.to_owned(), value.into()));
    }

    /// What its services are given unless a test says otherwise.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// The vault, as a service of the region sees it.
    pub(crate) fn vault_client(&self) -> VaultClient {
        let lookup = |name: &str| self.setting(name);
        let mut env = Reader::new(&lookup);
        let settings = VaultSettings::read(&mut env, "identity");
        let settings = env.finish(|| settings).expect("the settings are good");
        VaultClient::new(settings)
    }

    /// The database, as a service of the region sees it.
    pub(crate) fn pool(&self) -> Pool {
        Pool::new(&self.database.url().into()).expect("a URL")
    }

    /// Everything in the folder for mail.
    pub(crate) fn mail_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.mail_dir).expect("the folder");
        files.map(|file| file.expect("a file").path()).collect()
    }

    /// Moves the clock to the true time, which is that of the program when it is run.
    pub(crate) fn catch_up(&self) {
        let behind = Clock::system().now() - self.clock.now();
        self.clock.advance(behind.max(Duration::ZERO));
    }

    /// The database, whether a service runs or not.
    pub(crate) async fn database(&self) -> tokio_postgres::Client {
        connected(self.database.url()).await
    }

    /// Waits until so many requests wait for rows that others hold.
    pub(crate) async fn waiting(&self, requests: i64) {
        let db = self.database().await;
        let counted = async || {
            let sql = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let waiting: i64 = db.query_one(sql, &[]).await.expect("a count").get(0);
            (waiting == requests).then_some(()).ok_or(waiting)
        };
        let waiting = until("waiting requests", PATIENCE, counted).await;
        waiting.expect("they come as far as the lock");
    }

    /// Starts a service and waits until it can sign.
    pub(crate) async fn start(&self) -> Replica {
        let replica = self.launch().await;
        replica.service.signs().await;
        replica
    }

    /// Starts a service that may never be able to sign.
    pub(crate) async fn launch(&self) -> Replica {
        let lookup = |name: &str| self.setting(name);
        let settings = Settings::read(&lookup).expect("the settings are good");
        let application = Application::build(settings, self.clock.clone())
            .await
            .expect("free ports");
        let url = format!("http://{}", application.api_address());
        let ops_url = format!("http://{}", application.ops_address());
        let (trigger, shutdown) = Shutdown::manual();
        tokio::spawn(application.run(metrics(), shutdown));
        let database_url = self.database.url().to_owned();
        let service = Service::at(url, self.mail_dir.clone(), database_url);
        Replica {
            service,
            ops: Service::at(ops_url, self.mail_dir.clone(), String::new()),
            _trigger: trigger,
        }
    }

    /// Runs the program itself with the settings of this region; the services in this process go on meanwhile.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let environment = RefCell::new(Vec::new());
        let told = |name: &str| {
            let value = self.setting(name)?;
            environment
                .borrow_mut()
                .push((name.to_owned(), value.clone()));
            Some(value)
        };
        assert!(Settings::read(&told).is_ok());
        let running = tokio::process::Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .envs(environment.take())
            .kill_on_drop(true)
            .output();
        let output = running.await.expect("the program runs");
        // A command line that is refused is repeated to whoever typed it, and to no log.
        if output.status.code() != Some(2) {
            suite_log::keep("identity-program.log", &output.stderr);
        }
        output
    }

    /// Runs it without any settings.
    pub(crate) fn unset(arguments: &[&str]) -> Output {
        let mut program = Command::new(PROGRAM);
        let running = program.args(arguments).env_clear().output();
        running.expect("the program runs")
    }

    fn setting(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.settings.iter().find(|(own, _)| own == name) {
            return Some(value.clone());
        }
        let addresses = Addresses::of_the_test_run();
        let file = |path: &str| addresses.stack_dir.join(path).display().to_string();
        Some(match name {
            "LISTEN_ADDR" | "OPS_LISTEN_ADDR" => "127.0.0.1:0".to_owned(),
            "DATABASE_URL" => self.database.url().to_owned(),
            "IDENTITY_SECRET_KEYS" => self.secret.clone(),
            "REDIS_URL" => addresses.redis,
            limit if limit.starts_with("RATE_LIMIT_") && !self.limited => "1000000/1s".to_owned(),
            "VAULT_URL" => addresses.api.vault,
            "VAULT_CA_FILE" => addresses.ca_file.display().to_string(),
            "CLIENT_CERT_FILE" => file("tls/identity.pem"),
            "CLIENT_KEY_FILE" => file("tls/identity.key"),
            "SERVICE_KEY_FILE" => file("secrets/identity_service_key.pem"),
            "SERVICE_JWKS_FILE" => file("secrets/identity_service_jwks.json"),
            "ISSUER" => "http://identity.test".to_owned(),
            "MAIL_DIR" => self.mail_dir.display().to_string(),
            "MAIL_FROM" => "Keystead <no-reply@localhost>".to_owned(),
            "LOG_LEVEL" => "trace".to_owned(),
            "ALLOW_WEAK_BCRYPT_FOR_TESTS" => "yes".to_owned(),
            "BCRYPT_COST" => "4".to_owned(),
            _ => return None,
        })
    }
}

impl Replica {
    pub(crate) async fn metrics(&self) -> String {
        sent(self.ops.request(Method::GET, "/metrics")).await.text
    }

    /// Waits until `/readyz` says what `holds` wants.
    pub(crate) async fn readiness_until(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let asked = async || {
            let answer = sent(self.ops.request(Method::GET, "/readyz")).await;
            if holds(&answer.json()) {
                Ok(())
            } else {
                Err(answer.text)
            }
        };
        until(what, PATIENCE, asked).await.expect("readyz says so");
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        suite_log::keep("identity.metrics", metrics().render().as_bytes());
        let _ = fs::remove_dir_all(&self.mail_dir);
    }
}

/// Telemetry is installed once per process, and some test runners run many tests in one.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            suite_log::telling_panics(|| {
                let log = suite_log::file("identity.log");
                telemetry::install("identity", "test", LogLevel::TRACE, log).expect("the first")
            })
        })
        .clone()
}
