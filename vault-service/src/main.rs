//! The command line of the vault.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::{
    clock::Clock,
    hardening::harden,
    serve::Shutdown,
    service::{Command, StartError, exit_code},
    settings::process_environment,
};
use vault_service::{Application, AuditCommand, Settings, print_document, run_doctor};

/// Keystead's key vault: holds the master key; wraps and unwraps one data key per person.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Subcommand)]
enum Subcommands {
    #[command(flatten)]
    Service(Command),
    /// Look at the audit: who opened, made or destroyed which key.
    #[command(subcommand)]
    Audit(AuditCommand),
}

fn main() -> ExitCode {
    harden();
    let command = Arguments::parse().command;
    let command = command.unwrap_or(Subcommands::Service(Command::Serve));
    if let Subcommands::Service(Command::Openapi) = command {
        return print_document();
    }
    match Settings::read(&process_environment) {
        Ok(settings) => run(command, settings),
        Err(problems) => problems.report(),
    }
}

#[tokio::main]
async fn run(command: Subcommands, settings: Settings) -> ExitCode {
    match command {
        Subcommands::Service(Command::Doctor) => run_doctor(settings, Clock::system()).await,
        Subcommands::Service(command) => exit_code(run_service(command, settings).await),
        Subcommands::Audit(command) => command.run(settings).await,
    }
}

async fn run_service(command: Command, settings: Settings) -> Result<(), StartError> {
    match command {
        Command::CheckConfig | Command::Openapi | Command::Doctor => Ok(()),
        Command::Migrate => {
            settings.install_telemetry();
            settings.migrate().await
        }
        Command::Serve => {
            let metrics = settings.install_telemetry();
            let application = Application::build(settings, Clock::system()).await?;
            application.run(metrics, Shutdown::on_signals()?).await
        }
    }
}
