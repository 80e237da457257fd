//! Subcommands of the services, run as an operator would: with the settings that the running ones have.

use std::ffi::OsString;
use std::process::Stdio;

use tokio::process::Command;

use crate::{Failure, Service, Stack, environment, suite_log};

impl Stack {
    /// What a subcommand printed on standard output, if it succeeded.
    pub async fn run(&self, service: Service, arguments: &[&str]) -> Result<String, Failure> {
        let settings = self.wiring.settings(service)?;
        self.run_with(service, arguments, settings).await
    }

    /// The same for what the operator asks the running vault.
    pub async fn operate(&self, arguments: &[&str]) -> Result<String, Failure> {
        let settings = self.wiring.operator()?;
        self.run_with(Service::Vault, arguments, settings).await
    }

    pub(crate) async fn run_with(
        &self,
        service: Service,
        arguments: &[&str],
        settings: Vec<(String, OsString)>,
    ) -> Result<String, Failure> {
        let command = format!("{} {}", service.binary(), arguments.join(" "));
        let output = Command::new(self.binaries.path(service))
            .args(arguments)
            .env_clear()
            .env("PATH", environment::path())
            .envs(settings)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Failure::when(format!("run {command}")))?;
        suite_log::keep("subcommand.log", &output.stderr);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(told);
        }
        Err(Failure::new(format!(
            "{command} failed ({})\n{told}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}
