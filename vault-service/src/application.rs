//! One vault from its settings to its last answer.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shared::{
    access_token::Verifier,
    clock::Clock,
    postgres::{self, Pool},
    problem::Unexpected,
    serve::{Limits, Server, Shutdown},
    settings::Problems,
    telemetry::Metrics,
};
use thiserror::Error;
use tokio::time::sleep;

use crate::{
    Vault,
    check_master_keys::{WrongMasterKeys, check_master_keys},
    http,
    settings::{MASTER_KEYS, Settings},
    store::MIGRATIONS,
};

/// The pause between two tries to reach Postgres at start.
const AGAIN: Duration = Duration::from_millis(250);

/// Why the vault does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings contradict the database.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// A port is taken, or the system refuses something else.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// The database is there and does not do.
    #[error("cannot prepare the database: {}", .0.chain())]
    Database(#[from] Unexpected),
}

/// A vault whose ports are bound and which serves nothing yet.
pub struct Application {
    vault: Arc<Vault>,
    api: Server,
    ops: Server,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Postgres is not asked yet.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let api = Server::bind(settings.listen, Limits::default()).await?;
        let ops = Server::bind(settings.ops_listen, Limits::ops()).await?;
        let people = Verifier::remote(
            &settings.issuer,
            &settings.audience,
            &settings.identity_jwks_url,
            &clock,
        );
        let vault = Vault {
            keyring: settings.keyring,
            pool: Pool::new(&settings.database_url)?,
            trusted: settings.trusted,
            people,
            clock,
        };
        Ok(Self {
            vault: Arc::new(vault),
            api: api.with_tls(settings.tls),
            ops,
        })
    }

    /// Where the API answers, over TLS.
    pub fn api_address(&self) -> SocketAddr {
        self.api.local_addr()
    }

    /// Where probes, metrics and the API explorer answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops.local_addr()
    }

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres may come later than the vault: until it does, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, mut shutdown: Shutdown) -> Result<(), StartError> {
        tracing::info!(api = %self.api_address(), ops = %self.ops_address(), "listening");
        let prepared = Arc::new(AtomicBool::new(false));
        let ops_edge = http::ops(Arc::clone(&self.vault), Arc::clone(&prepared), metrics);
        let ops = tokio::spawn(self.ops.run(ops_edge, shutdown.clone()));
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            ready = prepare(&self.vault) => {
                ready?;
                prepared.store(true, Ordering::Relaxed);
                self.api.run(http::api(self.vault), shutdown).await;
            }
        }
        // It stops at the same request; a panic in it has been logged.
        let _ = ops.await;
        Ok(())
    }
}

/// Brings the schema of the vault's database up to date.
pub async fn migrate(settings: &Settings) -> Result<(), StartError> {
    let pool = Pool::new(&settings.database_url)?;
    Ok(postgres::migrate(&pool, MIGRATIONS).await?)
}

/// Migrates and checks the master keys, as soon as Postgres can be reached.
async fn prepare(vault: &Vault) -> Result<(), StartError> {
    loop {
        match try_to_prepare(vault).await {
            Ok(()) => return Ok(()),
            Err(WrongMasterKeys::Unexpected(error)) if error.is_unavailable() => {
                tracing::warn!(error = error.chain(), "waiting for postgres");
                sleep(AGAIN).await;
            }
            Err(WrongMasterKeys::Unexpected(error)) => return Err(error.into()),
            Err(wrong) => return Err(Problems::one(MASTER_KEYS, wrong).into()),
        }
    }
}

async fn try_to_prepare(vault: &Vault) -> Result<(), WrongMasterKeys> {
    postgres::migrate(&vault.pool, MIGRATIONS).await?;
    let db = vault.pool.get().await?;
    check_master_keys(&*db, &vault.keyring, vault.clock.now()).await
}
