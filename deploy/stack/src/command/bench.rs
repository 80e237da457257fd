//! `cargo stack bench`: the release build on a stack of its own, measured against what it is to reach.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use stack::process::Tool;
use stack::{Failure, Progress};

use crate::bench::{self, Table};
use crate::command::interrupt::Interrupt;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The vault: its cryptography, throughput, latency and memory
    Vault(bench::vault::Options),
    /// The journal: what sealing costs, searches, exports
    Journal(bench::journal::Options),
}

/// Fails when something that was measured is not what it is to be.
pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let progress = Progress::told();
    let measuring = async {
        if cfg!(debug_assertions) {
            in_release(progress).await
        } else {
            measure(options, progress).await
        }
    };
    tokio::select! {
        code = measuring => code,
        signal = interrupt.came() => {
            progress.line(format_args!("\nStopped by {signal}."));
            Ok(ExitCode::from(130))
        }
    }
}

async fn measure(options: Options, progress: Progress) -> Result<ExitCode, Failure> {
    let mut table = Table::default();
    let all = || {
        let (vault, journal) = Default::default();
        vec![Part::Vault(vault), Part::Journal(journal)]
    };
    for part in options.part.map_or_else(all, |part| vec![part]) {
        match part {
            Part::Vault(options) => bench::vault::measure(&options, &mut table, progress).await?,
            Part::Journal(options) => {
                bench::journal::measure(&options, &mut table, progress).await?;
            }
        }
    }
    progress.line(table.shown());
    Ok(if table.is_reached() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// This very command, optimised: the client shares the machine with what it measures.
async fn in_release(progress: Progress) -> Result<ExitCode, Failure> {
    progress.step("build", "the client, in release …");
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut cargo = Tool::start("cargo", |command| {
        command
            .args([
                "run",
                "--release",
                "--locked",
                "--quiet",
                "--package",
                "stack",
                "--",
            ])
            .args(arguments);
    })?;
    let (status, _) = cargo.output().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
