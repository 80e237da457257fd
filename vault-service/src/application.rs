//! One vault from its settings to its last answer.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use shared::{
    clock::Clock,
    postgres,
    serve::{Limits, Server, Shutdown},
    service::{Ports, StartError, once_postgres_is_there},
    settings::Problems,
    telemetry::Metrics,
};

use crate::{
    Vault,
    check_master_keys::{WrongMasterKeys, check_master_keys},
    http,
    settings::{MASTER_KEYS, Settings},
    store::MIGRATIONS,
};

/// A vault whose ports are bound and which serves nothing yet.
pub struct Application {
    vault: Arc<Vault>,
    ports: Ports,
    tls: Arc<ServerConfig>,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Postgres is not asked yet.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let ports = Ports::bind(&settings.service, Limits::default()).await?;
        let vault = Vault {
            keyring: settings.keyring,
            pool: settings.service.pool()?,
            trusted: settings.trusted,
            people: settings.people.verifier(&clock),
            clock,
        };
        Ok(Self {
            vault: Arc::new(vault),
            ports,
            tls: settings.tls,
        })
    }

    /// Where the API answers, over TLS.
    pub fn api_address(&self) -> SocketAddr {
        self.ports.api_address()
    }

    /// Where probes, metrics and the API explorer answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ports.ops_address()
    }

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres may come later than the vault: until it does, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, shutdown: Shutdown) -> Result<(), StartError> {
        let Self { vault, ports, tls } = self;
        let ops = http::ops(Arc::clone(&vault), ports.prepared(), metrics);
        let preparing = Arc::clone(&vault);
        let prepare = once_postgres_is_there(|| prepare(&preparing));
        let serve = |api: Server, shutdown| api.with_tls(tls).run(http::api(vault), shutdown);
        ports.run(ops, prepare, serve, shutdown).await
    }
}

/// Migrates, and checks the master keys against those that the database was written with.
async fn prepare(vault: &Vault) -> Result<(), StartError> {
    postgres::migrate(&vault.pool, MIGRATIONS).await?;
    let db = vault.pool.get().await?;
    match check_master_keys(&*db, &vault.keyring, vault.clock.now()).await {
        Ok(()) => Ok(()),
        Err(WrongMasterKeys::Unexpected(error)) => Err(error.into()),
        Err(wrong) => Err(Problems::one(MASTER_KEYS, wrong).into()),
    }
}
