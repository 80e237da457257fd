//! `cargo stack up`: starts everything, says where it is, and stays until it is told to stop or a child dies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use stack::{Addresses, Binaries, Builder, Failure, Profile, Progress, Service, Stack, repository};

use crate::command::interrupt::Interrupt;

/// Identity on 8081, vault on 8082, journal on 8083, ops on 9081 to 9083.
const DEFAULT_PORT_BASE: u16 = 8080;

/// Whose table of settings names all that the services read.
const RUN_BOOK: &str = include_str!("../../../README.md");

#[derive(Args)]
pub(crate) struct Options {
    /// Identity listens on N+1, vault on N+2, journal on N+3; ops ports are 1000 above
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT_BASE, value_parser = clap::value_parser!(u16).range(1..=64_000))]
    port_base: u16,
    /// Where data, keys and logs are kept [default: .stack in the repository]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep nothing: a temporary folder, removed at the end
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
    /// A setting for the services, over the stack's own choice (may be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Take the binaries in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let started = Instant::now();
    let progress = Progress::told();
    let builder = builder(options, progress)?;
    let mut stack = tokio::select! {
        stack = builder.start() => stack?,
        signal = interrupt.came() => {
            progress.line(format_args!("\nStopped by {signal} before everything was ready."));
            return Ok(ExitCode::FAILURE);
        }
    };
    progress.step(
        "ready",
        format_args!("after {:.2} s in all", started.elapsed().as_secs_f64()),
    );
    progress.line(where_everything_is(&stack));
    let crash = tokio::select! {
        failure = stack.failure() => Some(failure),
        signal = interrupt.came() => {
            progress.line(format_args!("\nStopping after {signal} …"));
            None
        }
    };
    if let Some(failure) = &crash {
        progress.line(format_args!("\n{failure}\nStopping the rest …"));
    }
    stack.stop().await?;
    progress.line("Everything has stopped.");
    Ok(if crash.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn builder(options: Options, progress: Progress) -> Result<Builder, Failure> {
    let mut builder = Stack::builder()
        .progress(progress)
        .port_base(options.port_base)
        .servers_of_the_environment()
        .profile(Profile::Release);
    if let Some(folder) = options.binaries {
        builder = builder.binaries(Binaries::in_folder(&folder)?);
    }
    if let Some(folder) = &options.data_dir {
        builder = builder.data_dir(folder);
    }
    if options.ephemeral {
        builder = builder.ephemeral();
    }
    for (name, value) in &options.set {
        builder = builder.set(name, value);
    }
    Ok(builder)
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if is_setting(name) {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err(format!(
            "{name} is no setting of the services: deploy/README.md lists them"
        ))
    }
}

/// A misspelt name would change nothing, and nobody would notice.
fn is_setting(name: &str) -> bool {
    let secret = name.strip_suffix("_FILE").unwrap_or(name);
    let rows = RUN_BOOK.lines().filter_map(|line| line.strip_prefix("| "));
    let first_cells = rows.filter_map(|row| row.split(" | ").next());
    let mut names = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    // Other tables there have commands and checks in their first column.
    let is_variable = !name.contains(|char: char| char.is_lowercase());
    is_variable && names.any(|known| known == name || known == secret)
}

/// What the other commands must be told to find this stack: nothing when it is where they look by themselves.
fn which_stack(folder: &Path) -> String {
    if folder == repository::root().join(".stack") {
        return String::new();
    }
    let quoted = folder.display().to_string().replace('\'', r"'\''");
    format!(" --data-dir '{quoted}'")
}

fn where_everything_is(stack: &Stack) -> String {
    let Addresses {
        api,
        ops,
        mail_dir,
        log_dir,
        ..
    } = stack.addresses();
    let which = which_stack(stack.folder());
    let mut lines = vec![
        String::new(),
        "Keystead is up. Ctrl-C stops all of it.".into(),
        String::new(),
    ];
    for service in [Service::Identity, Service::Vault, Service::Journal] {
        // The vault's API port wants a client certificate, which no browser has: its docs are on the ops port.
        let docs = if service == Service::Vault {
            ops.of(service)
        } else {
            api.of(service)
        };
        lines.push(format!(
            "  {:<9} {:<24} API docs {docs}/docs   health and metrics {}",
            service.name(),
            api.of(service),
            ops.of(service)
        ));
    }
    let folder = stack.folder().display();
    lines.push(format!(
        "  mail      {}   (or: cargo stack mail{which})",
        mail_dir.display()
    ));
    lines.push(format!("  logs      {}", log_dir.display()));
    lines.push(format!(
        "  env       {folder}/env   (for scripts; psql: cargo stack psql{which} identity)"
    ));
    lines.push(String::new());
    lines.push("Try it:".into());
    lines.push(format!(
        "  curl -i {}/api/auth/signup -H 'content-type: application/json' \\\n    -d '{{\"email\":\"ada@example.com\",\"password\":\"correct horse battery staple\"}}'",
        api.identity
    ));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_some_service_reads_can_be_set() {
        for name in [
            "RATE_LIMIT_FORGOT_PASSWORD",
            "SESSION_MAX",
            "SHRED_WAIT",
            "CLIENT_KEY_FILE",
            "SMTP_PASSWORD_FILE",
        ] {
            let parsed = setting(&format!("{name}=a=b"));
            assert_eq!(parsed, Ok((name.to_owned(), "a=b".to_owned())));
        }
        for text in [
            "SESSION_LIMIT=1d",
            "session_max=1d",
            "=1d",
            "SESSION_MAX",
            "settings=1",
        ] {
            assert!(setting(text).is_err(), "{text}");
        }
    }
}
