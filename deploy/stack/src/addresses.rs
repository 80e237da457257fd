//! Where everything of a stack is: what `.stack/env` says, what tests are told, what scripts read.

use std::path::PathBuf;

use crate::{PerService, Service, environment};

/// The addresses of one stack. The URLs of databases and Redis contain passwords: not for printing.
#[derive(Clone)]
pub struct Addresses {
    /// `http://…` of identity and journal, `https://…` of the vault.
    pub api: PerService<String>,
    /// `http://…` with `/livez`, `/readyz`, `/metrics`.
    pub ops: PerService<String>,
    pub database: PerService<String>,
    pub redis: String,
    pub mail_dir: PathBuf,
    pub log_dir: PathBuf,
    /// The development CA that signed the vault's certificate.
    pub ca_file: PathBuf,
    /// The data folder, with `tls/` and `secrets/`.
    pub stack_dir: PathBuf,
}

impl Addresses {
    /// The stack that `cargo stack test` started for this test run.
    ///
    /// # Panics
    ///
    /// Without the variables of that command: the test cannot run, and the message says how it can.
    pub fn of_the_test_run() -> Self {
        Self::from_variables(environment::variable)
            .expect("this test needs the servers that `cargo stack test` starts")
    }

    /// `None` unless all of them are there.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let per_service = |name: &dyn Fn(Service) -> String| {
            PerService::each(|service| variable(&name(service)).ok_or(())).ok()
        };
        Some(Self {
            api: per_service(&api_name)?,
            ops: per_service(&ops_name)?,
            database: per_service(&database_name)?,
            redis: variable("REDIS_URL")?,
            mail_dir: variable("MAIL_DIR")?.into(),
            log_dir: variable("LOG_DIR")?.into(),
            ca_file: variable("CA_FILE")?.into(),
            stack_dir: variable("STACK_DIR")?.into(),
        })
    }

    /// The same as variables, in a fixed order.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for service in [Service::Identity, Service::Vault, Service::Journal] {
            variables.push((api_name(service), self.api.of(service).clone()));
            variables.push((ops_name(service), self.ops.of(service).clone()));
            variables.push((database_name(service), self.database.of(service).clone()));
        }
        variables.push(("REDIS_URL".into(), self.redis.clone()));
        for (name, path) in [
            ("MAIL_DIR", &self.mail_dir),
            ("LOG_DIR", &self.log_dir),
            ("CA_FILE", &self.ca_file),
            ("STACK_DIR", &self.stack_dir),
        ] {
            variables.push((name.into(), path.display().to_string()));
        }
        variables
    }
}

fn api_name(service: Service) -> String {
    format!("{}_URL", service.prefix())
}

fn ops_name(service: Service) -> String {
    format!("{}_OPS_URL", service.prefix())
}

fn database_name(service: Service) -> String {
    format!("DATABASE_URL_{}", service.prefix())
}
