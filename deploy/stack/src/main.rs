//! `cargo stack`: everything on this machine with one command. See the library for how a stack is built.

mod bench;
mod command;
mod judge;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stack::{Failure, repository};

/// Runs Keystead on this machine: private servers, development keys, the real services.
#[derive(Parser)]
#[command(name = "cargo stack", bin_name = "cargo stack", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts everything and prints the URLs; Ctrl-C stops all of it
    Up(command::up::Options),
    /// Runs the tests of all crates against one stack
    Test(command::test::Options),
    /// Writes openapi/*.json from the services' own descriptions
    Openapi(command::openapi::Options),
    /// Measures the release build against what it is to reach
    Bench(command::bench::Options),
    /// Opens psql on a database of the running stack
    Psql(command::psql::Options),
    /// Shows the mails that the running stack would have sent
    Mail(command::mail::Options),
    /// Asks the vault of the running stack something as its operator
    Vault(command::vault::Options),
}

/// Which running stack is meant.
#[derive(clap::Args)]
struct Running {
    /// Data folder of the stack
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

impl Running {
    fn folder(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| repository::root().join(".stack"))
    }

    /// The value of a variable of `.stack/env`.
    fn variable(&self, name: &str) -> Result<String, Failure> {
        let folder = self.folder();
        let variables = stack::env_file::read(&folder)?.ok_or_else(|| {
            Failure::new(format!(
                "no stack is running in {}: start one with `cargo stack up`",
                folder.display()
            ))
        })?;
        variables
            .into_iter()
            .find_map(|(known, value)| (known == name).then_some(value))
            .ok_or_else(|| Failure::new(format!("{} has no {name}", folder.join("env").display())))
    }
}

fn main() -> ExitCode {
    let line = Line::parse();
    // One thread: children are told to die with the thread that starts them, and this one ends last.
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::when("start the runtime"))
        .and_then(|runtime| runtime.block_on(run(line.command)));
    answer.unwrap_or_else(|failure| {
        #[expect(clippy::print_stderr, reason = "the one place where a failure is told")]
        {
            eprintln!("cargo stack: {failure}");
        }
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(options) => command::up::run(options).await,
        Command::Test(options) => command::test::run(options).await,
        Command::Openapi(options) => command::openapi::run(&options).await,
        Command::Bench(options) => command::bench::run(options).await,
        Command::Psql(options) => command::psql::run(&options),
        Command::Mail(options) => command::mail::run(&options).await,
        Command::Vault(options) => command::vault::run(&options).await,
    }
}
