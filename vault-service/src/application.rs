//! One vault from its settings to its last answer.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use shared::{
    clock::Clock,
    postgres, random,
    serve::{Background, Limits, Server, Shutdown},
    service::{Ports, StartError, once_postgres_is_there},
    settings::Problems,
    telemetry::Metrics,
};

use crate::{
    Vault,
    audit::{self, Audit},
    domain::keyring::Keyring,
    follow_master_keys, http,
    limits::CallerLimits,
    master_keys::MasterKeys,
    open_vault::{NotOpened, prepare_to_open},
    purge,
    settings::{MASTER_KEYS, Settings, TOMBSTONES},
    slots::Slots,
    store::MIGRATIONS,
    tombstone_file::TombstoneFile,
    unseal_vault::Unsealing,
};

/// A vault whose ports are bound and which serves nothing yet.
pub struct Application {
    vault: Arc<Vault>,
    /// `None` when somebody has to open the vault.
    keyring: Option<Keyring>,
    ports: Ports,
    tls: Arc<ServerConfig>,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Postgres is not asked yet.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let ports = Ports::bind(&settings.service, Limits::default()).await?;
        let vault = Vault {
            keys: MasterKeys::default(),
            key_source: settings.key_source,
            unsealing: Unsealing::default(),
            replica: random::uuid_v7(clock.now()),
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
            keyring: settings.keyring,
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
        let Self {
            vault,
            keyring,
            ports,
            tls,
        } = self;
        let ops = http::ops(Arc::clone(&vault), ports.prepared(), metrics);
        let preparing = Arc::clone(&vault);
        let prepare = async move {
            let prepared = once_postgres_is_there(|| prepare(&preparing, keyring.as_ref())).await;
            // What is left of it is the vault's own, and goes when the vault is sealed.
            drop(keyring);
            prepared
        };
        let serve = |api: Server, shutdown| serve(vault, api.with_tls(tls), shutdown);
        ports.run(ops, prepare, serve, shutdown).await
    }
}

/// The API, and beside it the shreds whose time comes, the rotation of master keys, and the audit, which goes on until both have ended.
async fn serve(vault: Arc<Vault>, api: Server, shutdown: Shutdown) {
    let (last, nothing_to_audit) = Shutdown::manual();
    let mut auditing = Background::new(&vault, &nothing_to_audit);
    auditing.keep("audit", audit::run);
    let mut work = Background::new(&vault, &shutdown);
    work.keep("shreds", purge::run);
    work.keep("master keys", follow_master_keys::run);
    api.run(http::api(vault), shutdown).await;
    work.finished().await;
    drop(last);
    auditing.finished().await;
}

/// Migrates, and opens the vault if its keys lie open.
async fn prepare(vault: &Vault, keyring: Option<&Keyring>) -> Result<(), StartError> {
    postgres::migrate(&vault.pool, MIGRATIONS).await?;
    let Some(keyring) = keyring else {
        tracing::warn!("the vault is sealed until somebody opens it");
        return Ok(());
    };
    match prepare_to_open(vault, keyring).await {
        Ok(()) => {
            vault.keys.opened();
            Ok(())
        }
        Err(NotOpened::Unexpected(error)) => Err(error.into()),
        Err(NotOpened::WrongKeys(wrong)) => Err(Problems::one(MASTER_KEYS, wrong).into()),
        Err(NotOpened::Tombstones(why)) => Err(Problems::one(TOMBSTONES, why).into()),
    }
}
