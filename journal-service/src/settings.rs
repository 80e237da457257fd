//! What the journal is told by its environment.

use shared::{
    access_token::VerifierSettings,
    serve::AllowedOrigins,
    service::{ServiceSettings, StartError},
    service_token::TrustedServices,
    settings::{Problems, Reader},
    telemetry::Metrics,
    vault_client::VaultSettings,
};

use crate::store::MIGRATIONS;

/// Everything the journal needs to start, parsed and checked. Holds secrets: no `Debug`, no `Clone`.
pub struct Settings {
    pub(crate) service: ServiceSettings,
    pub(crate) people: VerifierSettings,
    pub(crate) vault: VaultSettings,
    pub(crate) origins: AllowedOrigins,
    pub(crate) services: TrustedServices,
}

impl Settings {
    /// Reads the variables through `lookup` and names every problem there is.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(lookup);
        let service = ServiceSettings::read(&mut env, 8083, 9083);
        let people = VerifierSettings::read(&mut env);
        let vault = VaultSettings::read(&mut env, "journal");
        let origins = AllowedOrigins::read(&mut env);
        // Without the file nobody is trusted: accounts that are deleted leave their sealed rows here.
        let services = env.optional_file("SERVICE_JWKS_FILE", TrustedServices::from_jwks);
        env.finish(|| {
            Some(Self {
                service: service?,
                people: people?,
                vault: vault?,
                origins: origins?,
                services: services?.unwrap_or_default(),
            })
        })
    }

    /// Starts logging, and counting for `/metrics`. Once in a process.
    pub fn install_telemetry(&self) -> Metrics {
        self.service
            .install_telemetry("journal", env!("CARGO_PKG_VERSION"))
    }

    /// Brings the schema of the service's database up to date.
    pub async fn migrate(&self) -> Result<(), StartError> {
        self.service.migrate(MIGRATIONS).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_names_every_required_variable_at_once() {
        let problems = Settings::read(&|_| None)
            .err()
            .expect("everything is missing");
        let told = problems.to_string();
        for name in [
            "DATABASE_URL",
            "ISSUER",
            "IDENTITY_JWKS_URL",
            "VAULT_CA_FILE",
            "CLIENT_CERT_FILE",
            "CLIENT_KEY_FILE",
            "SERVICE_KEY_FILE",
        ] {
            assert!(told.contains(name), "{name} is not named in: {told}");
        }
    }

    #[test]
    fn no_problem_repeats_a_value() {
        let lookup = |name: &str| Some(format!("hunter2-{name}"));
        let problems = Settings::read(&lookup)
            .err()
            .expect("none of them is right");
        assert!(!problems.to_string().contains("hunter2"), "{problems}");
    }
}
