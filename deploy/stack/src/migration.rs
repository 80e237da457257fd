//! Migrated template databases: what a test's own database is copied from.

use std::process::Stdio;

use tokio::process::Command;

use crate::database::{administrator, template_name};
use crate::{Failure, Service, Stack, environment, postgres};

/// Makes an empty database, lets the service migrate it, and leaves it without connections.
pub(crate) async fn make_template(
    stack: &Stack,
    service: Service,
    url: &str,
) -> Result<(), Failure> {
    let addresses = stack.addresses();
    let admin = postgres::connect(&administrator(addresses, addresses.database.of(service))?)
        .await
        .map_err(Failure::when("connect to Postgres"))?;
    let name = template_name(service);
    for statement in [
        format!("drop database if exists {name} with (force)"),
        format!("create database {name} owner {}", service.name()),
        format!("revoke all on database {name} from public"),
    ] {
        admin
            .batch_execute(&statement)
            .await
            .map_err(Failure::when(format!("make the template database {name}")))?;
    }
    migrate(stack, service, url).await
}

async fn migrate(stack: &Stack, service: Service, url: &str) -> Result<(), Failure> {
    let output = Command::new(stack.binaries.path(service))
        .arg("migrate")
        .env_clear()
        .env("PATH", environment::path())
        .envs(stack.wiring.settings_for_database(service, url)?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Failure::when(format!("run {} migrate", service.binary())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} migrate failed ({})\n{}{}",
        service.binary(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}
