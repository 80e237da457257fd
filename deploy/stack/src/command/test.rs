//! `cargo stack test`: one stack, the tests of every crate against it, and with `--full` the outside judges.

use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use clap::Args;
use stack::process::Tool;
use stack::{Binaries, Failure, Progress, Stack, environment};

use crate::command::{interrupt::Interrupt, search};
use crate::judge::{self, Outcome, Summary};

#[derive(Args)]
pub(crate) struct Options {
    /// Also run a release build and the outside judges
    #[arg(long)]
    full: bool,
    /// Further arguments for the test runner, such as `-p shared some_test`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let progress = Progress::told();
    let mut summary = Summary::default();
    let work = async {
        let stack = started(progress).await?;
        let passed = tests(&options.arguments, stack, &mut summary, progress).await?;
        if options.full || options.arguments.is_empty() {
            doc_tests(&mut summary).await?;
        }
        if options.full {
            judge::all(&mut summary, progress).await?;
        }
        Ok::<_, Failure>(passed)
    };
    let code = tokio::select! {
        code = work => code?,
        signal = interrupt.came() => {
            progress.line(format_args!("\nStopped by {signal}."));
            return Ok(ExitCode::from(130));
        }
    };
    progress.line(summary.table());
    let in_ci = environment::variable("CI").is_some_and(|value| value == "true");
    Ok(match code {
        0 if summary.fails(in_ci) => ExitCode::FAILURE,
        code => ExitCode::from(code),
    })
}

/// Builds what the tests need and starts the stack.
async fn started(progress: Progress) -> Result<Stack, Failure> {
    let builder = Stack::builder()
        .ephemeral()
        .searched()
        .set("ALLOW_WEAK_BCRYPT_FOR_TESTS", "yes")
        .set("BCRYPT_COST", "4")
        .loose_rate_limits()
        .servers_of_the_environment()
        .progress(progress);
    builder.install_servers()?;
    let binaries = Binaries::build_with_tests(progress).await?;
    let stack = builder.binaries(binaries).start().await?;
    let making = Instant::now();
    stack.make_templates().await?;
    progress.step(
        "templates",
        format_args!("migrated in {:.2} s", making.elapsed().as_secs_f64()),
    );
    Ok(stack)
}

/// The exit code of the test runner.
async fn tests(
    arguments: &[String],
    mut stack: Stack,
    summary: &mut Summary,
    progress: Progress,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let (name, words) = runner();
    let mut running = Tool::start("cargo", |command| {
        command.args(words).arg("--locked");
        if !arguments.iter().any(|it| selects(it)) {
            command.arg("--workspace");
        }
        command.args(arguments).envs(stack.variables());
    })?;
    let (status, _) = tokio::select! {
        ended = running.output() => ended?,
        failure = stack.failure() => return Err(failure),
    };
    summary.add(name, started.elapsed(), outcome(status));
    search::all("search of the logs", &mut stack, summary, progress).await?;
    stack.stop().await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1))
}

/// nextest where it is, which ends tests that hang; else cargo's own.
fn runner() -> (&'static str, &'static [&'static str]) {
    if environment::program("cargo-nextest").is_some() {
        ("tests (nextest)", &["nextest", "run"])
    } else {
        let words = &["test", "--lib", "--bins", "--tests", "--no-fail-fast"];
        ("tests (cargo test)", words)
    }
}

/// A selection of packages replaces the whole workspace.
fn selects(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package")
}

async fn doc_tests(summary: &mut Summary) -> Result<(), Failure> {
    let started = Instant::now();
    let mut cargo = Tool::start("cargo", |command| {
        command.args(["test", "--doc", "--workspace", "--locked", "--quiet"]);
    })?;
    let (status, _) = cargo.output().await?;
    summary.add("documentation tests", started.elapsed(), outcome(status));
    Ok(())
}

fn outcome(status: ExitStatus) -> Outcome {
    if status.success() {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed(status.to_string())
    }
}
