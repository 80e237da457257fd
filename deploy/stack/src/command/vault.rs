//! `cargo stack vault`: the vault's own program with the operator's credentials, on the running stack.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;
use stack::{Binaries, Failure, Profile, Progress, Service};

use crate::Running;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    running: Running,
    /// What the vault is asked, such as master-keys or seal-status
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Failure> {
    // Its stack must run; what is built is what runs there, and standard output is the answer's alone.
    let url = options.running.variable("VAULT_URL")?;
    let binaries = Binaries::build(Profile::Release, Progress::silent()).await?;
    let folder = options.running.folder();
    let mut command = Command::new(binaries.path(Service::Vault));
    command
        .args(&options.arguments)
        .env("VAULT_URL", url)
        .env("VAULT_CA_FILE", options.running.variable("CA_FILE")?)
        .env("CLIENT_CERT_FILE", folder.join("tls/operator.pem"))
        .env("CLIENT_KEY_FILE", folder.join("tls/operator.key"))
        .env(
            "SERVICE_KEY_FILE",
            folder.join("secrets/operator_service_key.pem"),
        );
    Err(Failure::when("start the vault's program")(command.exec()))
}
