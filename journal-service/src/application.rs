//! One journal from its settings to its last answer.

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
use tokio::time::sleep;

use crate::{Journal, http, settings::Settings, store::MIGRATIONS};

/// The pause between two tries to reach Postgres at start.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest request body. An entry holds 1 MiB of text, and JSON may write a character of three bytes as six
/// or one of two as six; only a text made of control characters could be longer still.
const BODY_BYTES: usize = 4 << 20;

/// Why the journal does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings are incomplete or wrong.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// A port is taken, or the system refuses something else.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// The database is there and does not do.
    #[error("cannot prepare the database: {}", .0.chain())]
    Database(#[from] Unexpected),
}

/// A journal whose ports are bound and which serves nothing yet.
pub struct Application {
    journal: Arc<Journal>,
    api: Server,
    ops: Server,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Nothing else is asked yet: not Postgres, not the vault, not
    /// identity.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let limits = Limits {
            body_bytes: BODY_BYTES,
            ..Limits::default()
        };
        let api = Server::bind(settings.listen, limits).await?;
        let ops = Server::bind(settings.ops_listen, Limits::ops()).await?;
        let people = Verifier::remote(
            &settings.issuer,
            &settings.audience,
            &settings.identity_jwks_url,
            &clock,
        );
        let journal = Journal {
            pool: Pool::new(&settings.database_url)?,
            vault: VaultClient::new(settings.vault)?,
            people: Arc::new(people),
            clock,
        };
        Ok(Self {
            journal: Arc::new(journal),
            api,
            ops,
        })
    }

    /// Where the API and its explorer answer.
    pub fn api_address(&self) -> SocketAddr {
        self.api.local_addr()
    }

    /// Where probes and metrics answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops.local_addr()
    }

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres may come later than the journal: until it does, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, mut shutdown: Shutdown) -> Result<(), StartError> {
        tracing::info!(api = %self.api_address(), ops = %self.ops_address(), "listening");
        let prepared = Arc::new(AtomicBool::new(false));
        let ops_edge = http::ops(Arc::clone(&self.journal), Arc::clone(&prepared), metrics);
        let ops = tokio::spawn(self.ops.run(ops_edge, shutdown.clone()));
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            ready = prepare(&self.journal.pool) => {
                ready?;
                prepared.store(true, Ordering::Relaxed);
                self.api.run(http::api(self.journal), shutdown).await;
            }
        }
        // It stops at the same request; a panic in it has been logged.
        let _ = ops.await;
        Ok(())
    }
}

/// Brings the schema of the journal's database up to date.
pub async fn migrate(settings: &Settings) -> Result<(), StartError> {
    let pool = Pool::new(&settings.database_url)?;
    Ok(postgres::migrate(&pool, MIGRATIONS).await?)
}

/// Migrates as soon as Postgres can be reached.
async fn prepare(pool: &Pool) -> Result<(), Unexpected> {
    loop {
        match postgres::migrate(pool, MIGRATIONS).await {
            Err(error) if error.is_unavailable() => {
                tracing::warn!(error = error.chain(), "waiting for postgres");
                sleep(AGAIN).await;
            }
            outcome => return outcome,
        }
    }
}
