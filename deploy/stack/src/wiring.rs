//! Which settings each service gets in this stack. Secrets go by file (`NAME_FILE`): never in arguments or environment.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::certificates::{Certificates, OPERATOR};
use crate::secrets::Secrets;
use crate::{Addresses, Failure, Service};

/// Everything the services' settings are made of.
pub(crate) struct Wiring {
    pub(crate) secrets: Secrets,
    pub(crate) certificates: Certificates,
    pub(crate) addresses: Addresses,
    /// `--set NAME=VALUE`: for every service, over what is decided here.
    pub(crate) extra: Vec<(String, String)>,
    /// What each service's `/metrics` says last is written beside its log.
    pub(crate) keeps_metrics: bool,
}

/// The services that call others.
const CALLERS: [&str; 2] = ["identity", "journal"];

type Settings = Vec<(String, OsString)>;

impl Wiring {
    /// The whole environment of one service, with its secrets written to their files.
    pub(crate) fn settings(&self, service: Service) -> Result<Settings, Failure> {
        let mut settings = self.common(service)?;
        match service {
            Service::Vault => self.vault(&mut settings)?,
            Service::Identity => self.identity(&mut settings)?,
            Service::Journal => {
                self.trusted_services(service, &CALLERS, &mut settings)?;
                self.vault_client(Service::Journal.name(), &mut settings)?;
            }
        }
        for (name, value) in &self.extra {
            settings.retain(|(known, _)| known != name && *known != format!("{name}_FILE"));
            settings.push((name.clone(), value.into()));
        }
        Ok(settings)
    }

    /// The same for another database of the service, such as a template.
    pub(crate) fn settings_for_database(
        &self,
        service: Service,
        url: &str,
    ) -> Result<Settings, Failure> {
        let mut settings = self.settings(service)?;
        settings.retain(|(name, _)| name != "DATABASE_URL_FILE");
        let file = self
            .secrets
            .put(&format!("{}_template_url", service.name()), url)?;
        settings.push(("DATABASE_URL_FILE".into(), file.into()));
        Ok(settings)
    }

    /// What the operator's commands of the vault's program are told.
    pub(crate) fn operator(&self) -> Result<Settings, Failure> {
        let mut settings = Vec::new();
        self.vault_client(OPERATOR, &mut settings)?;
        Ok(settings)
    }

    fn common(&self, service: Service) -> Result<Settings, Failure> {
        let database = self.secrets.put(
            &format!("{}_database_url", service.name()),
            self.addresses.database.of(service),
        )?;
        let identity = &self.addresses.api.identity;
        let mut settings = Vec::new();
        text(
            &mut settings,
            "LISTEN_ADDR",
            authority(self.addresses.api.of(service)),
        );
        text(
            &mut settings,
            "OPS_LISTEN_ADDR",
            authority(self.addresses.ops.of(service)),
        );
        path(&mut settings, "DATABASE_URL_FILE", database);
        // As `deploy/README.md` advises: glibc keeps what each thread has freed apart from what the others may use. The
        // vault has another allocator.
        if service != Service::Vault {
            text(&mut settings, "MALLOC_ARENA_MAX", "2");
        }
        text(&mut settings, "ISSUER", identity);
        text(&mut settings, "AUDIENCE", "keystead");
        if service != Service::Identity {
            let jwks = format!("{identity}/.well-known/jwks.json");
            text(&mut settings, "IDENTITY_JWKS_URL", &jwks);
        }
        Ok(settings)
    }

    fn vault(&self, settings: &mut Settings) -> Result<(), Failure> {
        path(
            settings,
            "MASTER_ENCRYPTION_KEY_FILE",
            self.secrets.master_key()?,
        );
        path(
            settings,
            "TOMBSTONE_FILE",
            self.addresses.stack_dir.join("tombstones"),
        );
        path(
            settings,
            "TLS_CERT_FILE",
            self.certificates.certificate(Service::Vault.name()),
        );
        path(
            settings,
            "TLS_KEY_FILE",
            self.certificates.key(Service::Vault.name()),
        );
        path(
            settings,
            "TLS_CLIENT_CA_FILE",
            self.certificates.authority(),
        );
        let [identity, journal] = CALLERS;
        let callers = [identity, journal, OPERATOR];
        self.trusted_services(Service::Vault, &callers, settings)
    }

    /// Whose tokens a service takes.
    fn trusted_services(
        &self,
        service: Service,
        callers: &[&str],
        settings: &mut Settings,
    ) -> Result<(), Failure> {
        let file = self.secrets.service_jwks(service, callers)?;
        path(settings, "SERVICE_JWKS_FILE", file);
        Ok(())
    }

    fn identity(&self, settings: &mut Settings) -> Result<(), Failure> {
        path(
            settings,
            "IDENTITY_SECRET_KEYS_FILE",
            self.secrets.identity_keys()?,
        );
        path(
            settings,
            "REDIS_URL_FILE",
            self.secrets.put("redis_url", &self.addresses.redis)?,
        );
        path(settings, "MAIL_DIR", self.addresses.mail_dir.clone());
        text(settings, "MAIL_FROM", "Keystead <no-reply@localhost>");
        text(settings, "JOURNAL_URL", &self.addresses.api.journal);
        self.trusted_services(Service::Identity, &CALLERS, settings)?;
        self.vault_client(Service::Identity.name(), settings)
    }

    fn vault_client(&self, name: &str, settings: &mut Settings) -> Result<(), Failure> {
        text(settings, "VAULT_URL", &self.addresses.api.vault);
        path(settings, "VAULT_CA_FILE", self.certificates.authority());
        path(
            settings,
            "CLIENT_CERT_FILE",
            self.certificates.certificate(name),
        );
        path(settings, "CLIENT_KEY_FILE", self.certificates.key(name));
        path(
            settings,
            "SERVICE_KEY_FILE",
            self.secrets.service_key(name)?,
        );
        Ok(())
    }
}

fn text(settings: &mut Settings, name: &str, value: &str) {
    settings.push((name.to_owned(), value.into()));
}

fn path(settings: &mut Settings, name: &str, value: PathBuf) {
    settings.push((name.to_owned(), value.into_os_string()));
}

/// `127.0.0.1:8081` of `http://127.0.0.1:8081`.
fn authority(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}
