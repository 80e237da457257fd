//! One identity service from its settings to its last answer.

use std::{net::SocketAddr, sync::Arc};

use shared::{
    access_token::Verifier,
    clock::Clock,
    postgres,
    serve::{Limits, Server, Shutdown},
    service::{Ports, StartError, once_postgres_is_there},
    settings::Problems,
    telemetry::Metrics,
    vault_client::VaultClient,
};
use tokio::sync::Notify;

use crate::{
    Identity,
    domain::password::HIGHEST_COST,
    hashing::HashingPool,
    http,
    journal_client::JournalClient,
    mail::Mailer,
    outbox_key::OutboxKey,
    settings::Settings,
    signing_keys::SigningKeys,
    store::{MIGRATIONS, accounts},
    throttle::Throttle,
    worker,
};

/// An identity service whose ports are bound and which serves nothing yet.
pub struct Application {
    identity: Arc<Identity>,
    ports: Ports,
}

impl Application {
    /// Binds both ports; 0 takes a free one. Neither Postgres nor the vault is asked yet.
    pub async fn build(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let ports = Ports::bind(&settings.service, Limits::default()).await?;
        Ok(Self {
            identity: Arc::new(Identity::new(settings, clock)?),
            ports,
        })
    }

    /// Where the API answers.
    pub fn api_address(&self) -> SocketAddr {
        self.ports.api_address()
    }

    /// Where probes and metrics answer.
    pub fn ops_address(&self) -> SocketAddr {
        self.ports.ops_address()
    }

    /// Serves until the shutdown is requested and then drains.
    ///
    /// Postgres and the vault may come later: until they do, `/readyz` says so and callers wait.
    pub async fn run(self, metrics: Metrics, shutdown: Shutdown) -> Result<(), StartError> {
        let Self { identity, ports } = self;
        let ops = http::ops(Arc::clone(&identity), ports.prepared(), metrics);
        let prepared = Arc::clone(&identity);
        let prepare = once_postgres_is_there(|| prepare(&prepared));
        let serve = |api, shutdown| serve(identity, api, shutdown);
        ports.run(ops, prepare, serve, shutdown).await
    }
}

async fn prepare(identity: &Identity) -> Result<(), StartError> {
    postgres::migrate(&identity.pool, MIGRATIONS).await?;
    let highest = accounts::highest_cost(&*identity.pool.get().await?).await?;
    let highest = highest.filter(|cost| *cost <= HIGHEST_COST);
    identity.hashing.costliest(highest.unwrap_or(0));
    Ok(())
}

/// The API, and beside it the work that no request waits for.
async fn serve(identity: Arc<Identity>, api: Server, shutdown: Shutdown) {
    let work = worker::start(&identity, &shutdown);
    api.run(http::api(identity), shutdown).await;
    work.finished().await;
}

impl Identity {
    /// Everything but ports. Nothing is connected to yet.
    pub(crate) fn new(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let vault = VaultClient::new(settings.vault);
        let journal = settings
            .journal_url
            .map(|url| JournalClient::new(url, vault.signer()))
            .transpose()
            .map_err(|_| Problems::one("JOURNAL_URL", "does not make an HTTP client"))?;
        Ok(Self {
            pool: settings.service.pool()?,
            vault,
            origins: settings.origins,
            secrets: Arc::new(settings.secrets),
            hashing: HashingPool::start()?,
            signing: SigningKeys::default(),
            throttle: Throttle::new(settings.throttle),
            verifier: Arc::new(Verifier::local(&settings.issuer, &settings.audience)),
            services: settings.services,
            outbox_key: OutboxKey::default(),
            outbox_filled: Notify::new(),
            login_failed: Notify::new(),
            mailer: Mailer::new(settings.mail),
            journal,
            erasure_terms: settings.erasures,
            erasure_begun: Notify::new(),
            passwords: settings.passwords,
            sessions: settings.sessions,
            totp_issuer: settings.totp_issuer,
            lockout: settings.lockout,
            issuer: settings.issuer,
            audience: settings.audience,
            clock,
        })
    }
}
