//! What every service does alike between its command line and its last answer.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Subcommand;
use secrecy::SecretString;
use thiserror::Error;
use tokio::time::sleep;

use crate::{
    postgres::{self, Migration, Pool},
    problem::Unexpected,
    serve::{Edge, Limits, Server, Shutdown, TrustedProxies},
    settings::{Problems, Reader, parsed, postgres_url},
    telemetry::{self, LogLevel, Metrics},
};

/// The pause between two tries to reach Postgres at start.
const AGAIN: Duration = Duration::from_millis(250);

/// The subcommands that every service has.
#[derive(Clone, Copy, Debug, Default, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM (the default).
    #[default]
    Serve,
    /// Bring the database schema up to date and exit.
    Migrate,
    /// Read the settings, name every problem, and exit.
    CheckConfig,
    /// Look at everything the service needs, and say what is wrong and what to do about it.
    Doctor,
    /// Print the OpenAPI document.
    Openapi,
}

/// Why a service does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings are incomplete, wrong, or contradict each other or the database.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// A port is taken, or the address is not one of this machine.
    #[error("cannot listen on {address}, as {variable} says: {cause}")]
    Listen {
        /// The setting.
        variable: &'static str,
        /// What it says.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The system refuses something else.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The database is there and does not do.
    #[error("cannot prepare the database: {}", .0.chain())]
    Database(#[from] Unexpected),
}

/// Tells on standard error why a subcommand failed, and gives the exit code: 78 for settings (`EX_CONFIG`),
/// 1 for anything else.
pub fn exit_code(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Settings(problems)) => problems.report(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What every service is told: where to listen, where its database is, how much to log.
pub struct ServiceSettings {
    listen: SocketAddr,
    ops_listen: SocketAddr,
    database_url: SecretString,
    log_level: LogLevel,
    trusted_proxies: TrustedProxies,
}

impl ServiceSettings {
    /// Reads `LISTEN_ADDR`, `OPS_LISTEN_ADDR` (by default these ports of 127.0.0.1), `DATABASE_URL`,
    /// `LOG_LEVEL` and `TRUSTED_PROXIES`.
    pub fn read(env: &mut Reader<'_>, api_port: u16, ops_port: u16) -> Option<Self> {
        let address = || parsed::<SocketAddr>("an address with a port");
        let local = |port| format!("127.0.0.1:{port}");
        let listen = env.or("LISTEN_ADDR", &local(api_port), address());
        let ops_listen = env.or("OPS_LISTEN_ADDR", &local(ops_port), address());
        let database_url = env.secret("DATABASE_URL", postgres_url);
        let log_level = env.or("LOG_LEVEL", "info", parsed("a log level"));
        let trusted_proxies = env.optional("TRUSTED_PROXIES", TrustedProxies::parse);
        Some(Self {
            listen: listen?,
            ops_listen: ops_listen?,
            database_url: database_url?,
            log_level: log_level?,
            trusted_proxies: trusted_proxies?.unwrap_or_default(),
        })
    }

    /// Connections to the service's own database; none is opened yet.
    pub fn pool(&self) -> Result<Pool, Problems> {
        Pool::new(&self.database_url)
    }

    /// Starts logging, and counting for `/metrics`.
    ///
    /// # Panics
    /// When this process has done so already.
    pub fn install_telemetry(&self, service: &'static str, version: &'static str) -> Metrics {
        telemetry::install(service, version, self.log_level, io::stdout())
            .expect("nothing else in this process installs telemetry")
    }

    /// Starts logging on standard error, for a subcommand that answers on standard output.
    ///
    /// # Panics
    /// When this process has done so already.
    pub fn install_command_log(&self, service: &'static str, version: &'static str) {
        telemetry::install_log(service, version, self.log_level, io::stderr())
            .expect("nothing else in this process installs telemetry");
    }

    /// The subcommand `migrate`.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), StartError> {
        Ok(postgres::migrate(&self.pool()?, migrations).await?)
    }
}

/// Whether a service has prepared itself, for `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Prepared(Arc<AtomicBool>);

impl Prepared {
    /// True for good as soon as the service can answer.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The API port and the ops port, bound and still silent.
pub struct Ports {
    api: Server,
    ops: Server,
    prepared: Prepared,
}

impl Ports {
    /// Binds both; port 0 takes a free one. `limits` are those of the API.
    pub async fn bind(settings: &ServiceSettings, limits: Limits) -> Result<Self, StartError> {
        let api = listen("LISTEN_ADDR", settings.listen, limits).await?;
        Ok(Self {
            api: api.with_trusted_proxies(settings.trusted_proxies.clone()),
            ops: listen("OPS_LISTEN_ADDR", settings.ops_listen, Limits::ops()).await?,
            prepared: Prepared::default(),
        })
    }

    /// Where the API answers.
    pub fn api_address(&self) -> SocketAddr {
        self.api.local_addr()
    }

    /// Where probes and metrics answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops.local_addr()
    }

    /// Turns when [`Ports::run`] hands the API port out.
    pub fn prepared(&self) -> Prepared {
        self.prepared.clone()
    }

    /// Answers probes at once, hands the API port to `serve` when `prepare` is through, and returns when
    /// the shutdown was requested and everything has drained.
    pub async fn run<W: Future<Output = ()>>(
        self,
        ops: Edge,
        prepare: impl Future<Output = Result<(), StartError>>,
        serve: impl FnOnce(Server, Shutdown) -> W,
        mut shutdown: Shutdown,
    ) -> Result<(), StartError> {
        tracing::info!(api = %self.api_address(), ops = %self.ops_address(), "listening");
        let ops = tokio::spawn(self.ops.run(ops, shutdown.clone()));
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            ready = prepare => {
                ready?;
                self.prepared.0.store(true, Ordering::Relaxed);
                serve(self.api, shutdown).await;
            }
        }
        // It stops at the same request; a panic in it has been logged.
        let _ = ops.await;
        Ok(())
    }
}

async fn listen(
    variable: &'static str,
    address: SocketAddr,
    limits: Limits,
) -> Result<Server, StartError> {
    let bound = Server::bind(address, limits).await;
    bound.map_err(|cause| StartError::Listen {
        variable,
        address,
        cause,
    })
}

/// Tries again for as long as Postgres is away: it may come later than the service.
pub async fn once_postgres_is_there<W: Future<Output = Result<(), StartError>>>(
    attempt: impl Fn() -> W,
) -> Result<(), StartError> {
    loop {
        match attempt().await {
            Err(StartError::Database(error)) if error.is_unavailable() => {
                tracing::warn!(error = error.chain(), "waiting for postgres");
                sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}
