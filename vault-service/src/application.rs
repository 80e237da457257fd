//! One vault from its settings to its last answer.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use shared::{
    clock::Clock,
    postgres,
    serve::{Background, Limits, Server, Shutdown},
    service::{Ports, StartError, once_postgres_is_there},
    settings::Problems,
    telemetry::Metrics,
};

use crate::{
    Vault,
    audit::{self, Audit},
    check_master_keys::{WrongMasterKeys, check_master_keys},
    http,
    limits::{self, CallerLimits},
    purge,
    replay_tombstones::{ReplayError, replay_tombstones},
    settings::{MASTER_KEYS, Settings, TOMBSTONES},
    slots::Slots,
    store::MIGRATIONS,
    tombstone_file::TombstoneFile,
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
            slots: Slots::new(settings.service.pool()?),
            audit: Audit::new(settings.service.pool()?),
            trusted: settings.trusted,
            people: settings.people.verifier(&clock),
            shred_wait: settings.shred_wait,
            limits: CallerLimits::new(settings.limits),
            tombstones: settings
                .tombstones
                .map(|path| Arc::new(TombstoneFile::new(path))),
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
        let serve = |api: Server, shutdown| serve(vault, api.with_tls(tls), shutdown);
        ports.run(ops, prepare, serve, shutdown).await
    }
}

/// The API, and beside it the shreds whose time comes, and the audit, which goes on until both have ended.
async fn serve(vault: Arc<Vault>, api: Server, shutdown: Shutdown) {
    let (last, nothing_to_audit) = Shutdown::manual();
    let mut auditing = Background::new(&vault, &nothing_to_audit);
    auditing.keep("audit", audit::run);
    let mut work = Background::new(&vault, &shutdown);
    work.keep("shreds", purge::run);
    api.run(http::api(vault), shutdown).await;
    work.finished().await;
    drop(last);
    auditing.finished().await;
}

/// Migrates, checks the master keys against those that the database was written with, and shreds again whom an older
/// database brought back.
async fn prepare(vault: &Vault) -> Result<(), StartError> {
    postgres::migrate(&vault.pool, MIGRATIONS).await?;
    check_keys(vault).await?;
    if let Some(file) = &vault.tombstones {
        match replay_tombstones(vault, file).await {
            Ok(()) => {}
            Err(ReplayError::Unexpected(error)) => return Err(error.into()),
            Err(ReplayError::Unreadable(why)) => {
                return Err(Problems::one(TOMBSTONES, why).into());
            }
        }
    }
    Ok(limits::remember(vault).await?)
}

async fn check_keys(vault: &Vault) -> Result<(), StartError> {
    let db = vault.pool.get().await?;
    match check_master_keys(&*db, &vault.keyring, vault.clock.now()).await {
        Ok(()) => Ok(()),
        Err(WrongMasterKeys::Unexpected(error)) => Err(error.into()),
        Err(wrong) => Err(Problems::one(MASTER_KEYS, wrong).into()),
    }
}
