//! One running service: its process, and the time it took until it said that it is ready.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Launch, Process};
use crate::wiring::Wiring;
use crate::{Binaries, Failure, Footprint, Service, suite_log, until};

const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A service that has answered `/readyz` with 200.
pub(crate) struct RunningService {
    pub(crate) service: Service,
    pub(crate) process: Process,
    /// From the start of the process to the first ready answer.
    pub(crate) ready_in: Duration,
    /// Its last metrics are to go from the URL to the file.
    last_metrics: Option<(String, PathBuf)>,
}

impl RunningService {
    pub(crate) async fn start(
        service: Service,
        binaries: &Binaries,
        wiring: &Wiring,
    ) -> Result<Self, Failure> {
        let log = wiring
            .addresses
            .log_dir
            .join(format!("{}.log", service.name()));
        let settings = wiring.settings(service)?;
        let client = client()?;
        let ready = format!("{}/readyz", wiring.addresses.ops.of(service));
        let started = Instant::now();
        let mut process = Process::start(Launch {
            name: service.name(),
            program: &binaries.path(service),
            arguments: vec!["serve".into()],
            environment: settings,
            log: &log,
            account: None,
            stop: Signal::TERM,
            orphaned: Signal::KILL,
        })?;
        let what = format!("{} ready", service.name());
        until(&what, READY_LIMIT, async || match process.ended() {
            Some(status) => Ok(Err(status)),
            None => ask(&client, &ready).await.map(Ok),
        })
        .await
        .map_err(|failure| Failure::new(format!("{failure}\n{}", process.last_words())))?
        .map_err(|status| died(service, &status.to_string(), &log, &process.last_words()))?;
        Ok(Self {
            service,
            process,
            ready_in: started.elapsed(),
            last_metrics: wiring.keeps_metrics.then(|| {
                let url = format!("{}/metrics", wiring.addresses.ops.of(service));
                (url, log.with_extension("metrics"))
            }),
        })
    }

    pub(crate) fn footprint(&self) -> Result<Footprint, Failure> {
        Ok(Footprint {
            service: self.service,
            pid: self.process.pid(),
            ready_in: self.ready_in,
            resident_kib: self.process.resident_kib()?,
        })
    }

    pub(crate) async fn stop(&mut self) -> Result<std::process::ExitStatus, Failure> {
        self.keep_metrics();
        self.process.stop(STOP_LIMIT).await
    }

    /// Once, and only from a service that still runs.
    fn keep_metrics(&mut self) {
        if let Some((url, file)) = self.last_metrics.take()
            && self.process.ended().is_none()
        {
            suite_log::scrape(&url, &file);
        }
    }
}

impl Drop for RunningService {
    fn drop(&mut self) {
        self.keep_metrics();
    }
}

/// For talking to a stack on this machine: no proxy, and a limit on everything.
fn client() -> Result<reqwest::Client, Failure> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(Failure::when("make an HTTP client"))
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<(), String> {
    let answer = client
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    Err(format!(
        "{status} {}",
        answer.text().await.unwrap_or_default()
    ))
}

fn died(service: Service, status: &str, log: &Path, words: &str) -> Failure {
    Failure::new(format!(
        "{} ended while starting ({status}); the end of {}:\n{words}",
        service.name(),
        log.display()
    ))
}
