//! `cargo stack test`: one stack, the tests of every crate against it, and with `--full` the outside judges.

use std::process::{ExitCode, Stdio};
use std::time::Instant;

use clap::Args;
use rustix::process::Signal;
use stack::process::dying_with_us;
use stack::{Binaries, Failure, Progress, Service, Stack, environment, repository};
use tokio::process::{Child, Command};

use crate::command::{interrupt::Interrupt, search};
use crate::judge::{self, Outcome, Summary};

#[derive(Args)]
pub(crate) struct Options {
    /// Also run the documentation tests, a release build and the outside judges
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
        if options.full {
            doc_tests(&mut summary).await?;
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
    if options.full {
        progress.line(summary.table());
    }
    let in_ci = environment::variable("CI").is_some_and(|value| value == "true");
    Ok(match code {
        0 if summary.fails(in_ci) => ExitCode::FAILURE,
        code => ExitCode::from(code),
    })
}

/// Builds what the tests need and starts the stack.
async fn started(progress: Progress) -> Result<Stack, Failure> {
    let binaries = Binaries::build_with_tests(progress).await?;
    let stack = Stack::builder()
        .ephemeral()
        .searched()
        .binaries(binaries)
        .set("ALLOW_WEAK_BCRYPT_FOR_TESTS", "yes")
        .set("BCRYPT_COST", "4")
        .loose_rate_limits()
        .servers_of_the_environment()
        .progress(progress)
        .start()
        .await?;
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
    let mut runner = runner(arguments);
    runner.envs(stack.variables());
    let mut running = runner
        .spawn()
        .map_err(Failure::when("start the test runner"))?;
    let status = tokio::select! {
        status = running.wait() => status.map_err(Failure::when("wait for the test runner"))?,
        failure = stack.failure() => {
            end(&mut running).await;
            return Err(failure);
        }
    };
    for service in Service::ALL {
        stack.stop_service(service).await?;
    }
    let searching = Instant::now();
    let searched = search::logs(&stack.addresses().log_dir)?;
    stack.stop().await?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    let outcome = match code {
        0 => Outcome::Passed(String::new()),
        _ => Outcome::Failed(status.to_string()),
    };
    summary.add("tests", searching.duration_since(started), outcome);
    summary.add(
        "search of the logs",
        searching.elapsed(),
        searched.outcome(),
    );
    progress.line(&searched);
    Ok(code)
}

/// nextest where it is, else cargo's own. A selection of packages replaces the whole workspace.
fn runner(arguments: &[String]) -> Command {
    let selects =
        |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
    let mut words = if environment::program("cargo-nextest").is_some() {
        vec!["nextest", "run"]
    } else {
        vec!["test", "--lib", "--bins", "--tests"]
    };
    words.push("--locked");
    if !arguments.iter().any(selects) {
        words.push("--workspace");
    }
    let mut command = cargo();
    command.args(words).args(arguments);
    command
}

async fn doc_tests(summary: &mut Summary) -> Result<(), Failure> {
    let started = Instant::now();
    let status = cargo()
        .args(["test", "--doc", "--workspace", "--locked", "--quiet"])
        .status()
        .await
        .map_err(Failure::when("run the documentation tests"))?;
    let outcome = if status.success() {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed(status.to_string())
    };
    summary.add("documentation tests", started.elapsed(), outcome);
    Ok(())
}

/// Ends with the launcher, however that ends: the runner gets the chance to stop its tests.
fn cargo() -> Command {
    let mut command = Command::from(dying_with_us("cargo".as_ref(), Signal::TERM));
    command
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn end(running: &mut Child) {
    if let Some(pid) = running
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
    {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    let _ = running.wait().await;
}
