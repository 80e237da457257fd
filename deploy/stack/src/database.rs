//! A database of a test's own: a copy of a migrated template, dropped with its guard.

use std::time::Duration;

use crate::secrets::{administrator_url, random_hex};
use crate::{Addresses, Failure, Service, postgres, until};

/// Dropping it disconnects whoever is still connected and removes the database.
pub struct Database {
    url: String,
    name: String,
    administrator: String,
}

/// A fresh copy of the migrated database of `service` (`"identity"`, `"vault"` or `"journal"`), owned by its role.
///
/// # Panics
///
/// Outside `cargo stack test`, and when the copy cannot be made: a test can do nothing about either.
pub async fn cloned(service: &str) -> Database {
    let service =
        Service::from_name(service).expect("a service is called vault, identity or journal");
    let addresses = Addresses::of_the_test_run();
    Database::cloned(&addresses, service)
        .await
        .expect("the template database can be copied")
}

/// Waits until somebody waits for a lock that the connection `holder` (`pg_backend_pid()`) has.
///
/// # Panics
///
/// When nobody does for half a minute.
pub async fn somebody_waits_for(url: &str, holder: i32) {
    let client = postgres::connect(url).await.expect("the test's database");
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
    let counted = async || {
        let row = client.query_one(sql, &[&holder]).await.expect("a count");
        let waiting: i64 = row.get(0);
        (waiting > 0).then_some(()).ok_or("nobody waits")
    };
    until("somebody at the lock", Duration::from_secs(30), counted)
        .await
        .expect("somebody comes as far as the lock");
}

impl Database {
    pub(crate) async fn cloned(addresses: &Addresses, service: Service) -> Result<Self, Failure> {
        let own = addresses.database.of(service);
        let administrator = administrator(addresses, own)?;
        let name = format!("{}_{}", service.name(), random_hex(8)?);
        let client = postgres::connect(&administrator)
            .await
            .map_err(Failure::when("connect to the test run's Postgres"))?;
        // "file_copy" is twice as quick as the default for a small template.
        let create = format!(
            "create database {name} template {} owner {} strategy file_copy",
            template_name(service),
            service.name()
        );
        let rights = format!("revoke all on database {name} from public");
        for statement in [create, rights] {
            client
                .batch_execute(&statement)
                .await
                .map_err(Failure::when(format!(
                    "copy the template of {}",
                    service.name()
                )))?;
        }
        let url = with_database(own, &name)?;
        Ok(Self {
            url,
            name,
            administrator,
        })
    }

    /// For the service's own role.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let administrator = std::mem::take(&mut self.administrator);
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A thread of its own, because the test's runtime may be ending around this very drop.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let limit = Duration::from_secs(10);
                let work = async {
                    let client = postgres::connect(&administrator).await?;
                    client.batch_execute(&statement).await
                };
                // What is left after this is removed with the test run's cluster.
                let _ = tokio::time::timeout(limit, work).await;
            });
            Ok::<_, std::io::Error>(())
        });
        let _ = dropping.join();
    }
}

pub(crate) fn template_name(service: Service) -> String {
    format!("{}_template", service.name())
}

/// The superuser of the private cluster; for a server of somebody else's, the service's own role, which must be
/// allowed to create databases there.
pub(crate) fn administrator(addresses: &Addresses, own: &str) -> Result<String, Failure> {
    match administrator_url(&addresses.stack_dir)? {
        Some(url) => Ok(url),
        None => with_database(own, "postgres"),
    }
}

/// The same URL for another database of that server.
pub(crate) fn with_database(url: &str, name: &str) -> Result<String, Failure> {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (url, String::new()),
    };
    let (server, _) = base
        .rsplit_once('/')
        .filter(|(server, _)| server.contains("://"))
        .ok_or_else(|| Failure::new("a database URL ends in the name of its database"))?;
    Ok(format!("{server}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_database_changes() {
        let url = "postgres://a:b@h1,h2:5432/identity?target_session_attrs=read-write";
        let other = with_database(url, "other").unwrap();
        assert_eq!(
            other,
            "postgres://a:b@h1,h2:5432/other?target_session_attrs=read-write"
        );
    }
}
