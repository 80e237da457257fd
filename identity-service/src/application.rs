//! One identity service from its settings to its last answer.

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
    vault_client::VaultClient,
};
use thiserror::Error;
use tokio::{sync::Notify, time::sleep};

use crate::{
    Identity, hashing::HashingPool, http, mail::Mailer, outbox_key::OutboxKey, settings::Settings,
    signing_keys::SigningKeys, store::MIGRATIONS, worker,
};

/// The pause between two tries to reach Postgres at start.
const AGAIN: Duration = Duration::from_millis(250);

/// Why identity does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings contradict each other or the system.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// A port is taken, or the system refuses something else.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The database is there and does not do.
    #[error("cannot prepare the database: {}", .0.chain())]
    Database(#[from] Unexpected),
}

/// An identity service whose ports are bound and which serves nothing yet.
pub struct Application {
    identity: Arc<Identity>,
    api: Server,
    ops: Server,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Neither Postgres nor the vault is asked yet.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let api = Server::bind(settings.listen, Limits::default()).await?;
        let ops = Server::bind(settings.ops_listen, Limits::ops()).await?;
        let identity = Identity {
            pool: Pool::new(&settings.database_url)?,
            vault: VaultClient::new(settings.vault)?,
            secrets: Arc::new(settings.secrets),
            hashing: HashingPool::start()?,
            signing: SigningKeys::default(),
            verifier: Arc::new(Verifier::local(&settings.issuer, &settings.audience)),
            outbox_key: OutboxKey::default(),
            outbox_filled: Notify::new(),
            mailer: Mailer::new(settings.mail),
            passwords: settings.passwords,
            sessions: settings.sessions,
            issuer: settings.issuer,
            audience: settings.audience,
            clock,
        };
        Ok(Self {
            identity: Arc::new(identity),
            api,
            ops,
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

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres and the vault may come later: until they do, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, mut shutdown: Shutdown) -> Result<(), StartError> {
        tracing::info!(api = %self.api_address(), ops = %self.ops_address(), "listening");
        let prepared = Arc::new(AtomicBool::new(false));
        let ops_edge = http::ops(Arc::clone(&self.identity), Arc::clone(&prepared), metrics);
        let ops = tokio::spawn(self.ops.run(ops_edge, shutdown.clone()));
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            ready = prepare(&self.identity) => {
                ready?;
                prepared.store(true, Ordering::Relaxed);
                let work = tokio::spawn(worker::run(Arc::clone(&self.identity), shutdown.clone()));
                self.api.run(http::api(self.identity), shutdown).await;
                // It stops at the same request; a panic in it has been logged.
                let _ = work.await;
            }
        }
        let _ = ops.await;
        Ok(())
    }
}

/// Brings the schema of identity's database up to date.
pub async fn migrate(settings: &Settings) -> Result<(), StartError> {
    let pool = Pool::new(&settings.database_url)?;
    Ok(postgres::migrate(&pool, MIGRATIONS).await?)
}

/// Migrates as soon as Postgres can be reached.
async fn prepare(identity: &Identity) -> Result<(), Unexpected> {
    loop {
        match postgres::migrate(&identity.pool, MIGRATIONS).await {
            Err(error) if error.is_unavailable() => {
                tracing::warn!(error = error.chain(), "waiting for postgres");
                sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}
