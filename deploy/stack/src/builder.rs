//! What a stack is to be like, and the steps of its start.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::certificates::Certificates;
use crate::data_dir::DataDir;
use crate::env_file::EnvFile;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::secrets::Secrets;
use crate::wiring::Wiring;
use crate::{
    Addresses, Binaries, Failure, PerService, Profile, Progress, Service, Stack, environment,
    install, ports, repository, suite_log,
};

/// The routes of identity whose limits are settings.
const RATE_LIMITED: [&str; 16] = [
    "SIGNUP",
    "VERIFY_EMAIL",
    "RESEND_VERIFICATION",
    "CANCEL_SIGNUP",
    "FORGOT_PASSWORD",
    "RESET_PASSWORD",
    "CHANGE_PASSWORD",
    "CHANGE_EMAIL",
    "CONFIRM_EMAIL",
    "ENROL_TOTP",
    "DISABLE_TOTP",
    "REPLACE_RECOVERY_CODES",
    "DELETE_ACCOUNT",
    "LOGIN",
    "VERIFY_MFA",
    "REFRESH",
];

/// A stack that has not been started. Without further words: data in `.stack`, free ports, release binaries, silent.
#[must_use = "nothing starts before `start`"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    port_base: Option<u16>,
    binaries: Source,
    extra: Vec<(String, String)>,
    progress: Progress,
    external: External,
    /// Another folder for the logs than the one among the data.
    log_dir: Option<PathBuf>,
    keeps_metrics: bool,
    durable: bool,
}

enum Source {
    Build(Profile),
    Given(Binaries),
    BesideThisTest,
}

/// Servers that somebody else runs and that are to be used instead of private ones.
#[derive(Default)]
struct External {
    databases: PerService<Option<String>>,
    redis: Option<String>,
}

impl External {
    fn names_all_databases(&self) -> bool {
        let named = |service: &Service| self.databases.of(*service).is_some();
        Service::ALL.iter().all(named)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            data_dir: Some(repository::root().join(".stack")),
            port_base: None,
            binaries: Source::Build(Profile::Release),
            extra: Vec::new(),
            progress: Progress::silent(),
            external: External::default(),
            log_dir: None,
            keeps_metrics: false,
            durable: false,
        }
    }
}

impl Builder {
    /// Keeps everything in this folder between runs.
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_path_buf());
        self
    }

    /// Keeps everything in a temporary folder that goes with the stack, with servers that do not care for durability.
    pub fn ephemeral(mut self) -> Self {
        self.data_dir = None;
        self
    }

    /// Lets the servers of an ephemeral stack care for durability all the same, as those of users do: for measuring.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Identity, vault and journal listen on `base` + 1, 2, 3 and their ops ports 1000 above, where those are free.
    pub fn port_base(mut self, base: u16) -> Self {
        self.port_base = Some(base);
        self
    }

    /// Builds the binaries with cargo first.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.binaries = Source::Build(profile);
        self
    }

    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Source::Given(binaries);
        self
    }

    pub(crate) fn beside_this_test(mut self) -> Self {
        self.binaries = Source::BesideThisTest;
        self
    }

    /// A setting for every service, over what the stack would choose.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets clients come as often as they like, as nearly all tests do: the limits have tests of their own.
    pub fn loose_rate_limits(self) -> Self {
        let loose =
            |builder: Self, route| builder.set(&format!("RATE_LIMIT_{route}"), "1000000/1s");
        RATE_LIMITED.into_iter().fold(self, loose)
    }

    /// Lets the services say all they can, and writes down what `/metrics` says last, for the search of the run's logs.
    pub fn searched(mut self) -> Self {
        self.keeps_metrics = true;
        self.set("LOG_LEVEL", "trace")
    }

    /// The same where the run searches, which is not this stack's own folder.
    pub(crate) fn searched_with_the_run(mut self) -> Self {
        self.log_dir = suite_log::folder_of_its_own();
        self.searched()
    }

    /// Tells each step.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Uses the servers that `DATABASE_URL_IDENTITY`, `…_VAULT`, `…_JOURNAL` and `REDIS_URL` name, if they are set.
    pub fn servers_of_the_environment(mut self) -> Self {
        let named = |service: Service| {
            Ok::<_, Failure>(environment::variable(&format!(
                "DATABASE_URL_{}",
                service.prefix()
            )))
        };
        self.external = External {
            databases: PerService::each(named).unwrap_or_default(),
            redis: environment::variable("REDIS_URL"),
        };
        self
    }

    /// Gets the servers that are missing and are not named by the environment. [`Builder::start`] does so too: this is for
    /// who builds first, which takes minutes, and would rather know before.
    pub fn install_servers(&self) -> Result<(), Failure> {
        let own_postgres = !self.external.names_all_databases();
        install::servers(own_postgres, self.external.redis.is_none(), self.progress)
    }

    /// Starts everything; returns when every service has said that it is ready. On failure nothing is left running.
    pub async fn start(self) -> Result<Stack, Failure> {
        self.install_servers()?;
        let data = match &self.data_dir {
            Some(folder) => DataDir::kept(folder)?,
            None if self.durable => DataDir::ephemeral()?.with_durable_servers(),
            None => DataDir::ephemeral()?,
        };
        let binaries = match self.binaries {
            Source::Build(profile) => Binaries::build(profile, self.progress).await?,
            Source::Given(binaries) => binaries,
            Source::BesideThisTest => Binaries::beside_this_test()?,
        };
        let secrets = Secrets::in_folder(data.folder("secrets")?);
        let certificates = Certificates::issue(data.folder("tls")?, now())?;
        let logs = match self.log_dir {
            Some(folder) => folder,
            None => data.folder("logs")?,
        };
        keep_one_old_log(&logs);
        let servers = Servers::start(&data, &logs, &secrets, self.external, self.progress).await?;
        let addresses = Addresses {
            database: servers.databases,
            redis: servers.redis_url,
            ca_file: certificates.authority(),
            log_dir: logs,
            ..listening(self.port_base, &data, self.progress)?
        };
        let wiring = Wiring {
            secrets,
            certificates,
            addresses,
            extra: self.extra,
            keeps_metrics: self.keeps_metrics,
        };
        let mut stack = Stack {
            env_file: None,
            services: Vec::new(),
            redis: servers.redis,
            postgres: servers.postgres,
            wiring,
            binaries,
            progress: self.progress,
            data,
        };
        stack.start_services().await?;
        Ok(stack)
    }
}

impl Stack {
    async fn start_services(&mut self) -> Result<(), Failure> {
        for service in Service::ALL {
            let started = self.start_service(service).await?;
            self.progress.step(
                service.name(),
                format_args!(
                    "ready in {:.2} s   {}   {:.1} MiB",
                    started.ready_in.as_secs_f64(),
                    self.addresses().api.of(service),
                    mebibytes(started.resident_kib)
                ),
            );
        }
        self.env_file = Some(EnvFile::write(self.folder(), &self.variables())?);
        Ok(())
    }
}

/// KiB as MiB, for people.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
pub fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The servers below the services, private or not.
struct Servers {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    databases: PerService<String>,
    redis_url: String,
}

impl Servers {
    async fn start(
        data: &DataDir,
        logs: &Path,
        secrets: &Secrets,
        external: External,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let postgres = if external.names_all_databases() {
            progress.step("postgres", "the one that DATABASE_URL_* names");
            None
        } else {
            Some(Postgres::start(data, logs, secrets, progress).await?)
        };
        secrets.put_administrator_url(
            postgres
                .as_ref()
                .map(Postgres::administrator_url)
                .as_deref(),
        )?;
        let mut databases = PerService::<String>::default();
        for service in Service::ALL {
            let url = match (external.databases.of(service), &postgres) {
                (Some(url), _) => url.clone(),
                (None, Some(postgres)) => {
                    let password = secrets.password(&format!("{}_password", service.name()))?;
                    postgres.provide(service, &password).await?;
                    postgres.url(service, &password)
                }
                (None, None) => return Err(Failure::new("no database for a service")),
            };
            *databases.of_mut(service) = url;
        }
        let (redis, redis_url) = if let Some(url) = external.redis {
            progress.step("redis", "the one that REDIS_URL names");
            (None, url)
        } else {
            let redis = Redis::start(data, logs, secrets, progress).await?;
            let url = redis.url();
            (Some(redis), url)
        };
        Ok(Self {
            postgres,
            redis,
            databases,
            redis_url,
        })
    }
}

/// The addresses the services are to listen on, and where their mail goes; the rest is still blank.
fn listening(
    port_base: Option<u16>,
    data: &DataDir,
    progress: Progress,
) -> Result<Addresses, Failure> {
    let port = |service: Service, above: u16| {
        let wanted = port_base.and_then(|base| base.checked_add(service.port_offset() + above));
        match wanted {
            Some(port) if ports::take(port) => Ok(port),
            Some(taken) => {
                let other = ports::free()?;
                let name = service.name();
                progress.step(name, format_args!("port {taken} is taken: using {other}"));
                Ok(other)
            }
            None => ports::free(),
        }
    };
    let scheme = |service| {
        if service == Service::Vault {
            "https"
        } else {
            "http"
        }
    };
    Ok(Addresses {
        api: PerService::each(|service| {
            Ok::<_, Failure>(format!(
                "{}://127.0.0.1:{}",
                scheme(service),
                port(service, 0)?
            ))
        })?,
        ops: PerService::each(|service| {
            Ok::<_, Failure>(format!("http://127.0.0.1:{}", port(service, 1000)?))
        })?,
        database: PerService::default(),
        redis: String::new(),
        mail_dir: data.folder("mail")?,
        log_dir: PathBuf::new(),
        ca_file: PathBuf::new(),
        stack_dir: data.path().to_path_buf(),
    })
}

/// The logs of the run before stay as `<name>.log.before`, in case it is its end that is being looked into.
fn keep_one_old_log(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let _ = std::fs::rename(&path, path.with_extension("log.before"));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the launcher's one clock: certificates begin now"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
