//! The command line of the vault.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use shared::{
    clock::Clock,
    hardening::harden,
    serve::Shutdown,
    service::{Command, StartError, exit_code},
    settings::process_environment,
};
use vault_service::{
    Application, AuditCommand, OperatorCommand, PassphraseCommand, Settings, SharesCommand,
    print_document, run_doctor,
};

/// A request makes some hundred small things that live until its answer: with the allocator of glibc an eighth of the machine's time
/// goes into that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    /// Split what opens the master keys among people.
    #[command(subcommand)]
    Shares(SharesCommand),
    /// Put the master keys behind a passphrase.
    #[command(subcommand)]
    Passphrase(PassphraseCommand),
    #[command(flatten)]
    Operator(OperatorCommand),
}

fn main() -> ExitCode {
    harden();
    let command = Arguments::parse().command;
    let command = command.unwrap_or(Subcommands::Service(Command::Serve));
    match command {
        Subcommands::Service(Command::Openapi) => print_document(),
        Subcommands::Shares(command) => command.run(&process_environment),
        Subcommands::Passphrase(command) => command.run(&process_environment),
        Subcommands::Operator(command) => ask(command),
        Subcommands::Service(command) => with_settings(|settings| serve(command, settings)),
        Subcommands::Audit(command) => with_settings(|settings| audit(command, settings)),
    }
}

fn with_settings(run: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match Settings::read(&process_environment) {
        Ok(settings) => run(settings),
        Err(problems) => problems.report(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn ask(command: OperatorCommand) -> ExitCode {
    command.run(&process_environment, Clock::system()).await
}

#[tokio::main(flavor = "current_thread")]
async fn audit(command: AuditCommand, settings: Settings) -> ExitCode {
    command.run(settings).await
}

#[tokio::main]
async fn serve(command: Command, settings: Settings) -> ExitCode {
    match command {
        Command::Doctor => run_doctor(settings, Clock::system()).await,
        command => exit_code(run_service(command, settings).await),
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
