//! The command line of identity.

use std::process::ExitCode;

use clap::Parser;
use identity_service::{Application, Settings, print_document};
use shared::{
    clock::Clock,
    hardening::harden,
    serve::Shutdown,
    service::{Command, StartError, exit_code},
    settings::process_environment,
};

/// Keystead's identity service: sign-up, login and sessions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    harden();
    let command = Arguments::parse().command.unwrap_or_default();
    if let Command::Openapi = command {
        return print_document();
    }
    let settings = Settings::read(&process_environment).map_err(StartError::from);
    exit_code(settings.and_then(|settings| run(command, settings)))
}

#[tokio::main]
async fn run(command: Command, settings: Settings) -> Result<(), StartError> {
    match command {
        Command::CheckConfig | Command::Openapi => Ok(()),
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
