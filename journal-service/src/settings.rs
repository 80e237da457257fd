//! What the journal is told by its environment.

use std::net::SocketAddr;

use secrecy::SecretString;
use shared::{
    settings::{Problems, Reader, parsed, postgres_url, text},
    telemetry::LogLevel,
    vault_client::VaultSettings,
};

/// Everything the journal needs to start, parsed and checked. Holds secrets: no `Debug`, no `Clone`.
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) ops_listen: SocketAddr,
    pub(crate) database_url: SecretString,
    /// How much of what the journal does it logs.
    pub log_level: LogLevel,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) identity_jwks_url: String,
    pub(crate) vault: VaultSettings,
}

impl Settings {
    /// Reads the variables through `lookup` and names every problem there is.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(lookup);
        let address = || parsed::<SocketAddr>("an address with a port");
        let listen = env.or("LISTEN_ADDR", "127.0.0.1:8083", address());
        let ops_listen = env.or("OPS_LISTEN_ADDR", "127.0.0.1:9083", address());
        let database_url = env.secret("DATABASE_URL", postgres_url);
        let log_level = env.or("LOG_LEVEL", "info", parsed("a log level"));
        let issuer = env.required("ISSUER", text);
        let audience = env.or("AUDIENCE", "keystead", text);
        let identity_jwks_url = env.required("IDENTITY_JWKS_URL", http_url);
        let vault = VaultSettings::read(&mut env, "journal");
        env.finish(|| {
            Some(Self {
                listen: listen?,
                ops_listen: ops_listen?,
                database_url: database_url?,
                log_level: log_level?,
                issuer: issuer?,
                audience: audience?,
                identity_jwks_url: identity_jwks_url?,
                vault: vault?,
            })
        })
    }
}

fn http_url(text: &str) -> Result<String, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.to_owned())
    } else {
        Err("is not an http or https URL".to_owned())
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
