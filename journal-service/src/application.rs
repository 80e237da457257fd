//! One journal from its settings to its last answer.

use std::{net::SocketAddr, sync::Arc};

use shared::{
    clock::Clock,
    postgres::{self, Pool},
    serve::{Background, Limits, Server, Shutdown},
    service::{Ports, StartError, once_postgres_is_there},
    telemetry::Metrics,
    vault_client::VaultClient,
};
use tokio::sync::Semaphore;

use crate::{Journal, expiry, http, rewrap, settings::Settings, slots::Slots, store::MIGRATIONS};

/// The longest request body. An entry holds 1 MiB of text, and JSON may write a character of three bytes as six
/// or one of two as six; only a text made of control characters could be longer still.
const BODY_BYTES: usize = 4 << 20;

/// Searches at once, each with two pages of up to 1 MiB in memory; others wait their turn.
const SEARCHES: usize = 4;
/// Exports at once, and of one person. Each holds about five MiB of text on its way out.
const EXPORTS: usize = 16;
const EXPORTS_EACH: usize = 2;
/// Imports at once, and of one person. Each holds about ten MiB, and one of the pool's connections.
const IMPORTS: usize = 4;
const IMPORTS_EACH: usize = 1;

/// A journal whose ports are bound and which serves nothing yet.
pub struct Application {
    journal: Arc<Journal>,
    ports: Ports,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Nothing else is asked yet: not Postgres, not the vault, not
    /// identity.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let limits = Limits {
            body_bytes: BODY_BYTES,
            ..Limits::default()
        };
        let ports = Ports::bind(&settings.service, limits).await?;
        let journal = Journal {
            pool: settings.service.pool()?,
            vault: VaultClient::new(settings.vault),
            origins: settings.origins,
            people: Arc::new(settings.people.verifier(&clock)),
            services: settings.services,
            clock,
            searches: Semaphore::new(SEARCHES),
            exports: Slots::new(EXPORTS, EXPORTS_EACH),
            imports: Slots::new(IMPORTS, IMPORTS_EACH),
        };
        Ok(Self {
            journal: Arc::new(journal),
            ports,
        })
    }

    /// Where the API and its explorer answer.
    pub fn api_address(&self) -> SocketAddr {
        self.ports.api_address()
    }

    /// Where probes and metrics answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ports.ops_address()
    }

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres may come later than the journal: until it does, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, shutdown: Shutdown) -> Result<(), StartError> {
        let Self { journal, ports } = self;
        let ops = http::ops(Arc::clone(&journal), ports.prepared(), metrics);
        let pool = journal.pool.clone();
        let prepare = once_postgres_is_there(|| prepare(&pool));
        let serve = |api: Server, shutdown| serve(journal, api, shutdown);
        ports.run(ops, prepare, serve, shutdown).await
    }
}

/// The API, and beside it the forgetting of service tokens that were used, and of keys whose time is over, and
/// the rewrapping of keys under a new master key.
async fn serve(journal: Arc<Journal>, api: Server, shutdown: Shutdown) {
    let mut work = Background::new(&journal, &shutdown);
    work.keep("expiry", expiry::run);
    work.keep("keys in memory", wipe);
    work.keep("wrapped keys", rewrap::run);
    api.run(http::api(journal), shutdown).await;
    work.finished().await;
}

async fn wipe(journal: Arc<Journal>, shutdown: Shutdown) {
    journal.vault.wipe(shutdown).await;
}

async fn prepare(pool: &Pool) -> Result<(), StartError> {
    Ok(postgres::migrate(pool, MIGRATIONS).await?)
}
