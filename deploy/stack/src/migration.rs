//! Migrated template databases: what a test's own database is copied from.

use crate::database::{administrator, template_name};
use crate::{Failure, Service, Stack, postgres};

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
    let settings = stack.wiring.settings_for_database(service, url)?;
    stack.run_with(service, &["migrate"], settings).await?;
    Ok(())
}
