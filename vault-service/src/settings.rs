//! What the vault is told by its environment.

use std::{path::PathBuf, sync::Arc};

use rustls::ServerConfig;
use shared::{
    access_token::VerifierSettings,
    pem,
    serve::{ClientCertificates, server_config},
    service::{ServiceSettings, StartError},
    service_token::TrustedServices,
    settings::{Problems, Reader, duration, parsed},
    telemetry::Metrics,
};
use time::Duration;

use crate::{
    domain::{keyring::Keyring, limits::Limits, shred::LONGEST_WAIT},
    key_source::{KeySource, keyring, sealed_keyring},
    store::MIGRATIONS,
};

/// The name of the variable that holds the master keys.
pub(crate) const MASTER_KEYS: &str = "MASTER_ENCRYPTION_KEY";
/// The name of the variable that names a file with sealed master keys, in place of them.
pub(crate) const SEALED_KEYRING: &str = "SEALED_KEYRING_FILE";
/// The name of the variable that names the tombstone file.
pub(crate) const TOMBSTONES: &str = "TOMBSTONE_FILE";

/// Everything the vault needs to start, parsed and checked. Holds secrets: no `Debug`, no `Clone`.
pub struct Settings {
    pub(crate) service: ServiceSettings,
    /// `None` when they are sealed.
    pub(crate) keyring: Option<Keyring>,
    pub(crate) key_source: KeySource,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) trusted: TrustedServices,
    pub(crate) people: VerifierSettings,
    pub(crate) shred_wait: Duration,
    pub(crate) limits: Limits,
    pub(crate) tombstones: Option<PathBuf>,
}

impl Settings {
    /// Reads the variables through `lookup` and names every problem there is.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(lookup);
        let service = ServiceSettings::read(&mut env, 8082, 9082);
        let keys = read_keys(&mut env);
        let tls = read_tls(&mut env);
        let trusted = env.file("SERVICE_JWKS_FILE", TrustedServices::from_jwks);
        let people = VerifierSettings::read(&mut env);
        let shred_wait = env.or("SHRED_WAIT", "7d", shred_wait);
        let limits = read_limits(&mut env);
        let tombstones = env.optional(TOMBSTONES, parsed("a path"));
        env.finish(|| {
            let (keyring, key_source) = keys?;
            Some(Self {
                service: service?,
                keyring,
                key_source,
                tls: tls?,
                trusted: trusted?,
                people: people?,
                shred_wait: shred_wait?,
                limits: limits?,
                tombstones: tombstones?,
            })
        })
    }

    /// Starts logging, and counting for `/metrics`. Once in a process.
    pub fn install_telemetry(&self) -> Metrics {
        self.service
            .install_telemetry("vault", env!("CARGO_PKG_VERSION"))
    }

    /// Brings the schema of the service's database up to date.
    pub async fn migrate(&self) -> Result<(), StartError> {
        self.service.migrate(MIGRATIONS).await
    }
}

/// Open, or sealed; never both, so that nobody believes in a seal that has its keys beside it.
fn read_keys(env: &mut Reader<'_>) -> Option<(Option<Keyring>, KeySource)> {
    let sealed = env.optional(SEALED_KEYRING, parsed::<PathBuf>("a path"))?;
    let key_file = env.optional(&format!("{MASTER_KEYS}_FILE"), parsed::<PathBuf>("a path"))?;
    let Some(sealed) = sealed else {
        let keyring = env.secret(MASTER_KEYS, keyring)?;
        let source = key_file.map_or(KeySource::Variable, KeySource::File);
        return Some((Some(keyring), source));
    };
    let given = env.optional(MASTER_KEYS, |_| Ok(()))?;
    if given.is_some() || key_file.is_some() {
        // Whatever else is wrong with them is told at once.
        env.secret(MASTER_KEYS, keyring);
        let problem = "is set beside MASTER_ENCRYPTION_KEY: the keys lie open then";
        return env.problem(SEALED_KEYRING, problem);
    }
    if let Err(problem) = sealed_keyring(&sealed) {
        return env.problem(SEALED_KEYRING, &problem);
    }
    Some((None, KeySource::Sealed(sealed)))
}

fn shred_wait(text: &str) -> Result<Duration, String> {
    let wait = duration(text)?;
    if wait > LONGEST_WAIT {
        return Err("is longer than 90 days".to_owned());
    }
    Ok(wait)
}

fn read_limits(env: &mut Reader<'_>) -> Option<Limits> {
    let per_second = env.or("LIMIT_PER_SECOND", "500", limit);
    let per_day = env.or("LIMIT_PER_DAY", "1000000", limit);
    let people_per_hour = env.or("LIMIT_PEOPLE_PER_HOUR", "10000", limit);
    Some(Limits {
        per_second: per_second?,
        per_day: per_day?,
        people_per_hour: people_per_hour?,
    })
}

/// A whole batch has to fit.
fn limit(text: &str) -> Result<u32, String> {
    let number = text.parse().ok();
    let fits = number.filter(|number| (100..=1_000_000_000).contains(number));
    fits.ok_or_else(|| "is not a number from 100 to 1000000000".to_owned())
}

/// Every client needs a certificate of the CA in `TLS_CLIENT_CA_FILE`; there is no setting without.
fn read_tls(env: &mut Reader<'_>) -> Option<Arc<ServerConfig>> {
    let chain = env.file("TLS_CERT_FILE", pem::certificates);
    let key = env.file("TLS_KEY_FILE", pem::private_key);
    let clients = env.file("TLS_CLIENT_CA_FILE", pem::authority);
    let clients = ClientCertificates::Required(clients?);
    server_config(chain?, key?, clients).map_or_else(
        |_| {
            let problem = "is not the key of the certificate in TLS_CERT_FILE";
            env.problem("TLS_KEY_FILE", problem)
        },
        Some,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn problems(master_keys: Option<&str>) -> String {
        problems_of(|name| master_keys.filter(|_| name == MASTER_KEYS))
    }

    fn problems_of<'a>(lookup: impl Fn(&str) -> Option<&'a str>) -> String {
        Settings::read(&|name| lookup(name).map(str::to_owned))
            .err()
            .expect("most variables are missing")
            .to_string()
    }

    #[test]
    fn an_empty_environment_names_every_required_variable_at_once() {
        let told = problems(None);
        for name in [
            "DATABASE_URL",
            MASTER_KEYS,
            "TLS_CERT_FILE",
            "TLS_KEY_FILE",
            "TLS_CLIENT_CA_FILE",
            "SERVICE_JWKS_FILE",
            "ISSUER",
            "IDENTITY_JWKS_URL",
        ] {
            assert!(told.contains(name), "{name} is not named in: {told}");
        }
        assert!(!problems(Some(GOOD)).contains(MASTER_KEYS));
    }

    #[test]
    fn each_bad_file_of_tls_is_a_problem_of_its_own() {
        let file = std::env::temp_dir().join(format!("keystead-tls-{}", std::process::id()));
        std::fs::write(&file, "hunter2").expect("a temporary file");
        let path = file.to_str().expect("a plain path");
        let told = problems_of(|name| name.starts_with("TLS_").then_some(path));
        std::fs::remove_file(&file).expect("removed");
        for name in ["TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"] {
            let line = format!("\n  {name} is not ");
            assert!(told.contains(&line), "{name} is not told of in: {told}");
        }
        assert!(!told.contains("hunter2") && !told.contains(path), "{told}");
    }

    #[test]
    fn a_limit_lets_a_whole_batch_through() {
        for name in ["LIMIT_PER_SECOND", "LIMIT_PER_DAY", "LIMIT_PEOPLE_PER_HOUR"] {
            for (value, good) in [
                ("100", true),
                ("1000000000", true),
                ("99", false),
                ("5/s", false),
            ] {
                let told = problems_of(|asked| (asked == name).then_some(value));
                assert_eq!(!told.contains(name), good, "{name}={value}: {told}");
            }
        }
    }

    #[test]
    fn no_weak_master_key_is_taken_and_none_is_repeated() {
        for weak in [
            &GOOD[..32],
            &"00".repeat(32),
            &"5a".repeat(32),
            &"g".repeat(64),
            &format!("0:{GOOD}"),
            &format!("1:{GOOD},1:{GOOD}"),
            &format!("1:{GOOD},2:{GOOD}"),
        ] {
            let told = problems(Some(weak));
            assert!(told.contains(MASTER_KEYS), "{weak} was taken");
            assert!(!told.contains(weak), "the value is repeated: {told}");
        }
    }
}
