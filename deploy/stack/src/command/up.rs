//! `cargo stack up`: starts everything, says where it is, and stays until it is told to stop or a child dies.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use stack::{Addresses, Binaries, Builder, Failure, Profile, Progress, Service, Stack};

use crate::command::interrupt::Interrupt;

/// Identity on 8081, vault on 8082, journal on 8083, ops on 9081 to 9083.
const DEFAULT_PORT_BASE: u16 = 8080;

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
        builder = builder.binaries(Binaries::in_folder(folder)?);
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
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn where_everything_is(stack: &Stack) -> String {
    let Addresses {
        api,
        ops,
        mail_dir,
        log_dir,
        ..
    } = stack.addresses();
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
        "  mail      {}   (or: cargo stack mail)",
        mail_dir.display()
    ));
    lines.push(format!("  logs      {}", log_dir.display()));
    lines.push(format!(
        "  env       {folder}/env   (for scripts; psql: cargo stack psql identity)"
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
