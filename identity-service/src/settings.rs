//! What identity is told by its environment.

use poem::http::Uri;
use reqwest::Url;
use shared::{
    serve::AllowedOrigins,
    service::{ServiceSettings, StartError},
    service_token::TrustedServices,
    settings::{Problems, Reader, duration, http_root, http_url, text, versioned_keys},
    telemetry::Metrics,
    vault_client::VaultSettings,
};
use time::Duration;

use crate::{
    domain::{
        erasure::Terms,
        lockout::Lockout,
        password::{HIGHEST_COST, LOWEST_COST},
        secret_keys::SecretKeys,
    },
    mail::MailSettings,
    store::MIGRATIONS,
    throttle::ThrottleSettings,
};

/// bcrypt's own lowest cost: for tests, which say so.
const TEST_COST: u32 = 4;
/// Whoever stole a session has it for no longer.
const LONGEST_SESSION: Duration = Duration::days(365);
/// The vault waits no longer with the end of a key.
const LONGEST_ERASURE_WAIT: Duration = Duration::days(90);
const LONGEST_BACKUP_RETENTION: Duration = Duration::days(3650);

/// Everything identity needs to start, parsed and checked. Holds secrets: no `Debug`, no `Clone`.
pub struct Settings {
    pub(crate) service: ServiceSettings,
    pub(crate) secrets: SecretKeys,
    pub(crate) vault: VaultSettings,
    pub(crate) origins: AllowedOrigins,
    pub(crate) services: TrustedServices,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) mail: MailSettings,
    pub(crate) passwords: Passwords,
    pub(crate) sessions: Sessions,
    pub(crate) throttle: ThrottleSettings,
    /// Under which name authenticator apps show the account.
    pub(crate) totp_issuer: String,
    pub(crate) lockout: Lockout,
    pub(crate) erasures: Terms,
    pub(crate) journal_url: Option<Url>,
}

/// The rules for passwords.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passwords {
    /// Bytes of NFC.
    pub(crate) shortest: usize,
    /// bcrypt's cost: every step doubles the time.
    pub(crate) cost: u32,
}

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sessions {
    /// Without a refresh.
    pub(crate) idle: Duration,
    /// At most.
    pub(crate) longest: Duration,
}

impl Settings {
    /// Reads the variables through `lookup` and names every problem there is.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut env = Reader::new(lookup);
        let service = ServiceSettings::read(&mut env, 8081, 9081);
        let secrets = env.secret("IDENTITY_SECRET_KEYS", |text| {
            versioned_keys(text).map(|keys| SecretKeys::new(&keys))
        });
        let vault = VaultSettings::read(&mut env, "identity");
        let origins = AllowedOrigins::read(&mut env);
        // Without the file nobody is trusted, which is right where nobody asks.
        let services = env.optional_file("SERVICE_JWKS_FILE", TrustedServices::from_jwks);
        let issuer = env.required("ISSUER", http_url);
        let audience = env.or("AUDIENCE", "keystead", text);
        let mail = MailSettings::read(&mut env, issuer.as_deref());
        let passwords = read_passwords(&mut env);
        let sessions = read_sessions(&mut env);
        let throttle = ThrottleSettings::read(&mut env);
        let totp_issuer = read_totp_issuer(&mut env, mail.as_ref());
        let lockout = read_lockout(&mut env);
        let erasures = read_erasures(&mut env);
        // Without one no other service has data of people.
        let journal_url = env.optional("JOURNAL_URL", http_root);
        env.finish(|| {
            Some(Self {
                service: service?,
                secrets: secrets?,
                vault: vault?,
                origins: origins?,
                services: services?.unwrap_or_default(),
                issuer: issuer?,
                audience: audience?,
                mail: mail?,
                passwords: passwords?,
                sessions: sessions?,
                throttle: throttle?,
                totp_issuer: totp_issuer?,
                lockout: lockout?,
                erasures: erasures?,
                journal_url: journal_url?,
            })
        })
    }

    /// Starts logging, and counting for `/metrics`. Once in a process.
    pub fn install_telemetry(&self) -> Metrics {
        self.service
            .install_telemetry("identity", env!("CARGO_PKG_VERSION"))
    }

    /// Starts logging for a command that answers on standard output. Once in a process.
    pub(crate) fn install_command_log(&self) {
        self.service
            .install_command_log("identity", env!("CARGO_PKG_VERSION"));
    }

    /// Brings the schema of the service's database up to date.
    pub async fn migrate(&self) -> Result<(), StartError> {
        self.service.migrate(MIGRATIONS).await
    }
}

fn read_passwords(env: &mut Reader<'_>) -> Option<Passwords> {
    let shortest = env.or("PASSWORD_MIN_LENGTH", "15", |text| {
        let length = text
            .parse()
            .ok()
            .filter(|length| (8..=256).contains(length));
        length.ok_or_else(|| "is not a number of bytes from 8 to 256".to_owned())
    });
    let weak = env.optional("ALLOW_WEAK_BCRYPT_FOR_TESTS", |text| match text {
        "yes" => Ok(()),
        _ => Err("is not yes".to_owned()),
    });
    let lowest = if weak == Some(Some(())) {
        TEST_COST
    } else {
        LOWEST_COST
    };
    let cost = env.or("BCRYPT_COST", "12", |text| {
        let cost = text
            .parse()
            .ok()
            .filter(|cost| (lowest..=HIGHEST_COST).contains(cost));
        cost.ok_or_else(|| format!("is not a cost from {lowest} to {HIGHEST_COST}"))
    });
    Some(Passwords {
        shortest: shortest?,
        cost: cost?,
    })
}

fn read_sessions(env: &mut Reader<'_>) -> Option<Sessions> {
    let idle = env.or("SESSION_IDLE", "7d", within(LONGEST_SESSION));
    let longest = env.or("SESSION_MAX", "30d", within(LONGEST_SESSION));
    let (idle, longest) = (idle?, longest?);
    if idle > longest {
        return env.problem("SESSION_IDLE", "is longer than SESSION_MAX");
    }
    Some(Sessions { idle, longest })
}

/// The product's name; without one, the host of the frontend.
fn read_totp_issuer(env: &mut Reader<'_>, mail: Option<&MailSettings>) -> Option<String> {
    let chosen = env.optional("TOTP_ISSUER", |text| {
        // It ends at a colon wherever it is used.
        let fits = (1..=64).contains(&text.len()) && !text.contains(':');
        fits.then(|| text.to_owned())
            .ok_or_else(|| "is not a name of 1 to 64 bytes without a colon".to_owned())
    })?;
    let url = mail?.app_url.parse::<Uri>().ok();
    let host = url.as_ref().and_then(Uri::host);
    chosen.or_else(|| host.map(str::to_owned)).map_or_else(
        || env.problem("TOTP_ISSUER", "is needed when APP_URL has no host"),
        Some,
    )
}

fn read_lockout(env: &mut Reader<'_>) -> Option<Lockout> {
    // NIST SP 800-63B-4 allows no more than a hundred failures in a row.
    let failures = env.or("LOCKOUT_FAILURES", "5", |text| {
        let failures = text.parse().ok();
        let failures = failures.filter(|failures| (1..=100).contains(failures));
        failures.ok_or_else(|| "is not a number of failures from 1 to 100".to_owned())
    });
    let lasts = env.or("LOCKOUT_DURATION", "15m", |text| {
        let lasts = duration(text)?;
        if lasts > Duration::DAY {
            return Err("is longer than 24h".to_owned());
        }
        Ok(lasts)
    });
    Some(Lockout {
        failures: failures?,
        duration: lasts?,
    })
}

/// A duration that is no longer than so many days.
fn within(longest: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let lasts = duration(text)?;
        if lasts > longest {
            return Err(format!("is longer than {} days", longest.whole_days()));
        }
        Ok(lasts)
    }
}

fn read_erasures(env: &mut Reader<'_>) -> Option<Terms> {
    let wait = env.or("ERASURE_WAIT", "7d", within(LONGEST_ERASURE_WAIT));
    let retention = within(LONGEST_BACKUP_RETENTION);
    let backup_retention = env.or("BACKUP_RETENTION", "30d", retention);
    Some(Terms {
        wait: wait?,
        backup_retention: backup_retention?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn problems(variables: &[(&str, &str)]) -> String {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&lookup)
            .err()
            .expect("most variables are missing")
            .to_string()
    }

    #[test]
    fn an_empty_environment_names_every_required_variable_at_once() {
        let told = problems(&[]);
        for name in [
            "DATABASE_URL",
            "IDENTITY_SECRET_KEYS",
            "VAULT_CA_FILE",
            "CLIENT_CERT_FILE",
            "CLIENT_KEY_FILE",
            "SERVICE_KEY_FILE",
            "ISSUER",
            "MAIL_DIR",
            "MAIL_FROM",
            "REDIS_URL",
        ] {
            assert!(told.contains(name), "{name} is not named in: {told}");
        }
    }

    #[test]
    fn no_weak_secret_is_taken_and_none_is_repeated() {
        for weak in [
            &GOOD[..32],
            &"00".repeat(32),
            &"g".repeat(64),
            &format!("v1:{GOOD},v1:{GOOD}"),
            &format!("v1:{GOOD},v2:{GOOD}"),
        ] {
            let told = problems(&[("IDENTITY_SECRET_KEYS", weak)]);
            assert!(told.contains("IDENTITY_SECRET_KEYS"), "{weak} was taken");
            assert!(!told.contains(weak), "the value is repeated: {told}");
        }
        assert!(!problems(&[("IDENTITY_SECRET_KEYS", GOOD)]).contains("IDENTITY_SECRET_KEYS"));
    }

    #[test]
    fn a_cheap_hash_has_to_be_asked_for_by_a_test() {
        assert!(problems(&[("BCRYPT_COST", "9")]).contains("BCRYPT_COST"));
        assert!(problems(&[("BCRYPT_COST", "17")]).contains("BCRYPT_COST"));
        assert!(!problems(&[("BCRYPT_COST", "10")]).contains("BCRYPT_COST"));
        let test = [("BCRYPT_COST", "4"), ("ALLOW_WEAK_BCRYPT_FOR_TESTS", "yes")];
        assert!(!problems(&test).contains("BCRYPT_COST"));
    }

    #[test]
    fn what_is_no_wait_and_no_journal_is_refused() {
        for (name, value) in [
            ("ERASURE_WAIT", "91d"),
            ("ERASURE_WAIT", "0s"),
            ("BACKUP_RETENTION", "forever"),
            ("BACKUP_RETENTION", "3651d"),
            ("BACKUP_RETENTION", "99999999999d"),
            ("JOURNAL_URL", "journal:8083"),
            ("JOURNAL_URL", "http://"),
            ("JOURNAL_URL", "http://gateway/journal/"),
            ("JOURNAL_URL", "http://gateway/?to=journal"),
        ] {
            let told = problems(&[(name, value)]);
            assert!(told.contains(name), "{name} took {value}");
        }
        let good = [
            ("ERASURE_WAIT", "90d"),
            ("BACKUP_RETENTION", "3650d"),
            ("JOURNAL_URL", "http://127.0.0.1:8083/"),
        ];
        let told = problems(&good);
        assert!(good.iter().all(|(name, _)| !told.contains(name)), "{told}");
    }

    #[test]
    fn no_password_may_be_short_and_no_session_idle_for_longer_than_it_lasts() {
        for value in ["7", "257", "-15", "fifteen"] {
            let told = problems(&[("PASSWORD_MIN_LENGTH", value)]);
            assert!(told.contains("PASSWORD_MIN_LENGTH"), "took {value}");
        }
        assert!(!problems(&[("PASSWORD_MIN_LENGTH", "8")]).contains("PASSWORD_MIN_LENGTH"));
        let times = |idle| problems(&[("SESSION_IDLE", idle), ("SESSION_MAX", "1h")]);
        assert!(times("61m").contains("SESSION_IDLE"));
        assert!(!times("60m").contains("SESSION_IDLE"));
        for value in ["366d", "4294967295d"] {
            let told = problems(&[("SESSION_IDLE", value), ("SESSION_MAX", value)]);
            let both = told.contains("SESSION_IDLE") && told.contains("SESSION_MAX");
            assert!(both, "took {value}");
        }
        let longest = problems(&[("SESSION_IDLE", "365d"), ("SESSION_MAX", "365d")]);
        assert!(!longest.contains("SESSION_"), "{longest}");
    }

    #[test]
    fn a_lockout_that_is_none_is_refused() {
        for (name, values) in [
            ("LOCKOUT_FAILURES", ["0", "101", "-1", "five", "5/15m"]),
            ("LOCKOUT_DURATION", ["0s", "25h", "15", "never", "1w"]),
        ] {
            for value in values {
                assert!(
                    problems(&[(name, value)]).contains(name),
                    "{name} took {value}"
                );
            }
        }
        let good = problems(&[("LOCKOUT_FAILURES", "100"), ("LOCKOUT_DURATION", "24h")]);
        assert!(!good.contains("LOCKOUT"), "{good}");
    }
}
