//! The command line of identity.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use identity_service::{Application, Settings, StartError, migrate, print_document};
use shared::{clock::Clock, serve::Shutdown, settings::process_environment, telemetry};

/// Keystead's identity service: sign-up, login and sessions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Serve until SIGTERM (the default).
    Serve,
    /// Bring the database schema up to date and exit.
    Migrate,
    /// Read the settings, name every problem, and exit.
    CheckConfig,
    /// Print the OpenAPI document.
    Openapi,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    if let Command::Openapi = command {
        return print_document();
    }
    let outcome = Settings::read(&process_environment)
        .map_err(StartError::from)
        .and_then(|settings| run(command, settings));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Settings(problems)) => problems.report(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command, settings: Settings) -> Result<(), StartError> {
    if let Command::CheckConfig | Command::Openapi = command {
        return Ok(());
    }
    let metrics = telemetry::install("identity", env!("CARGO_PKG_VERSION"), settings.log_level)
        .expect("nothing else in this process installs telemetry");
    if let Command::Migrate = command {
        return migrate(&settings).await;
    }
    let application = Application::build(settings, Clock::system()).await?;
    application.run(metrics, Shutdown::on_signals()?).await
}
