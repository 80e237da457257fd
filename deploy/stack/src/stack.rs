//! A whole stack: private servers, secrets, certificates and the three services, started in order and stopped in the
//! reverse one.

use std::future::{Future as _, poll_fn};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use crate::data_dir::DataDir;
use crate::database::template_name;
use crate::env_file::EnvFile;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::redis::Redis;
use crate::running_service::RunningService;
use crate::wiring::Wiring;
use crate::{Addresses, Binaries, Builder, Failure, Progress, Service, migration};

/// A running stack. Dropping it stops everything; [`Stack::stop`] does so gently.
///
/// Its processes die with the thread that started it, so keep that thread: the main one, or a test's own.
pub struct Stack {
    // In this order they are dropped: readers of the env file first, then services before what they need, the folder last.
    pub(crate) env_file: Option<EnvFile>,
    pub(crate) services: Vec<RunningService>,
    pub(crate) redis: Option<Redis>,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) wiring: Wiring,
    pub(crate) binaries: Binaries,
    pub(crate) progress: Progress,
    pub(crate) data: DataDir,
}

/// What a service costs, measured from outside.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    pub service: Service,
    pub pid: u32,
    /// From the start of its process to its first ready answer.
    pub ready_in: Duration,
    /// Memory in RAM, KiB.
    pub resident_kib: u64,
}

impl Stack {
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// For a test that needs faults or settings of its own: ephemeral, silent, the binaries built with the test, and
    /// password hashing as cheap as it goes, and no client that comes too often.
    pub fn for_a_test() -> Builder {
        Builder::default()
            .ephemeral()
            .beside_this_test()
            .searched_with_the_run()
            .set("ALLOW_WEAK_BCRYPT_FOR_TESTS", "yes")
            .set("BCRYPT_COST", "4")
            .loose_rate_limits()
    }

    pub fn addresses(&self) -> &Addresses {
        &self.wiring.addresses
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    pub fn log_file(&self, service: Service) -> PathBuf {
        self.addresses()
            .log_dir
            .join(format!("{}.log", service.name()))
    }

    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// One for each running service.
    pub fn footprints(&self) -> Result<Vec<Footprint>, Failure> {
        self.services
            .iter()
            .map(RunningService::footprint)
            .collect()
    }

    /// Changes a setting of all services from their next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.wiring.extra.push((name.to_owned(), value.to_owned()));
    }

    /// Starts a service that is not running; returns when it is ready.
    pub async fn start_service(&mut self, service: Service) -> Result<Footprint, Failure> {
        self.stop_service(service).await?;
        let running = RunningService::start(service, &self.binaries, &self.wiring).await?;
        let footprint = running.footprint()?;
        self.services.push(running);
        Ok(footprint)
    }

    /// Stops a service as an operator would (SIGTERM, then patience); how it ended, if it was running.
    pub async fn stop_service(
        &mut self,
        service: Service,
    ) -> Result<Option<std::process::ExitStatus>, Failure> {
        let Some(place) = self
            .services
            .iter()
            .position(|running| running.service == service)
        else {
            return Ok(None);
        };
        let mut running = self.services.remove(place);
        running.stop().await.map(Some)
    }

    /// Takes the private Postgres away; `start_postgres` brings it back at the same address with its data.
    pub async fn stop_postgres(&mut self) -> Result<(), Failure> {
        self.private_postgres()?.stop().await
    }

    /// The same without a farewell: what the server had not written is lost.
    pub async fn crash_postgres(&mut self) -> Result<(), Failure> {
        self.private_postgres()?.crash().await
    }

    pub async fn start_postgres(&mut self) -> Result<(), Failure> {
        self.private_postgres()?.resume().await.map(|_| ())
    }

    /// Takes the private Redis away; `start_redis` brings it back at the same address.
    pub async fn stop_redis(&mut self) -> Result<(), Failure> {
        self.private_redis()?.stop().await
    }

    pub async fn start_redis(&mut self) -> Result<(), Failure> {
        self.private_redis()?.resume().await.map(|_| ())
    }

    /// Makes the migrated template databases that [`crate::database::cloned`] copies.
    pub async fn make_templates(&self) -> Result<(), Failure> {
        for service in Service::ALL {
            let url = crate::database::with_database(
                self.addresses().database.of(service),
                &template_name(service),
            )?;
            migration::make_template(self, service, &url).await?;
        }
        Ok(())
    }

    /// Ends when a child ends that nobody stopped, with a message that names it and shows the end of its log.
    pub async fn failure(&mut self) -> Failure {
        let mut waits: Vec<_> = self
            .processes()
            .map(|process| {
                Box::pin(async move {
                    let ended = process.wait().await;
                    (process.name().to_owned(), ended, process.last_words())
                })
            })
            .collect();
        let (name, ended, words) = poll_fn(|context| {
            let ended = waits
                .iter_mut()
                .map(|wait| wait.as_mut().poll(context))
                .find(Poll::is_ready);
            ended.unwrap_or(Poll::Pending)
        })
        .await;
        let how = ended.map_or_else(|failure| failure.to_string(), |status| status.to_string());
        Failure::new(format!(
            "{name} ended unexpectedly ({how}); the end of its log:\n{words}"
        ))
    }

    /// Stops the services, then Redis, then Postgres, and waits for each.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.env_file = None;
        for service in Service::ALL.into_iter().rev() {
            self.stop_service(service).await?;
        }
        if let Some(redis) = &mut self.redis {
            redis.stop().await?;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }

    /// The addresses with the process ids, as they go into `.stack/env`.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = self.addresses().variables();
        variables.push(("STACK_PID".into(), std::process::id().to_string()));
        for running in &self.services {
            let name = format!("{}_PID", running.service.prefix());
            variables.push((name, running.process.pid().to_string()));
        }
        variables
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let servers = [
            self.postgres.as_mut().and_then(Postgres::process),
            self.redis.as_mut().and_then(Redis::process),
        ];
        servers
            .into_iter()
            .flatten()
            .chain(self.services.iter_mut().map(|running| &mut running.process))
    }

    fn private_postgres(&mut self) -> Result<&mut Postgres, Failure> {
        self.postgres
            .as_mut()
            .ok_or_else(|| Failure::new("this stack uses somebody else's Postgres"))
    }

    fn private_redis(&mut self) -> Result<&mut Redis, Failure> {
        self.redis
            .as_mut()
            .ok_or_else(|| Failure::new("this stack uses somebody else's Redis"))
    }
}
