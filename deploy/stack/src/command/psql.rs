//! `cargo stack psql`: psql on a database of the running stack, as the service's own role.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use clap::Args;
use stack::{Failure, Progress, Service, install};

use crate::Running;

#[derive(Args)]
pub(crate) struct Options {
    /// identity, vault or journal
    #[arg(value_parser = ["identity", "vault", "journal"])]
    service: String,
    #[command(flatten)]
    running: Running,
    /// Further arguments for psql, such as -c "select 1"
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let service = Service::from_name(&options.service)
        .ok_or_else(|| Failure::new("a service is called identity, vault or journal"))?;
    let url = options
        .running
        .variable(&format!("DATABASE_URL_{}", service.prefix()))?;
    let psql = install::program("psql", "postgresql-client", Progress::told())?;
    // The password goes by the environment, which other users cannot read, and not by an argument, which they can.
    let (url, password) = without_password(&url);
    let mut command = Command::new(psql);
    command.arg(url).args(&options.arguments);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    Err(Failure::when("start psql")(command.exec()))
}

/// `postgres://name:password@host/…` in two.
fn without_password(url: &str) -> (String, Option<&str>) {
    let split = || {
        let (scheme, rest) = url.split_once("://")?;
        let (credentials, server) = rest.split_once('@')?;
        let (name, password) = credentials.split_once(':')?;
        Some((format!("{scheme}://{name}@{server}"), password))
    };
    split().map_or_else(
        || (url.to_owned(), None),
        |(url, password)| (url, Some(password)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_leaves_the_url() {
        let (url, password) =
            without_password("postgres://identity:s3cret@127.0.0.1:5432/identity");
        assert_eq!(url, "postgres://identity@127.0.0.1:5432/identity");
        assert_eq!(password, Some("s3cret"));
    }
}
