//! A service with a wrong setting does not start: it names every problem at once and no value, and exits with 78.

use std::path::Path;
use std::process::{Command, Output};

use stack::{Service, Stack};

use crate::launcher::program;

const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What every other setting is set to: no address, no URL, no number, no file.
const GARBLED: &str = "hunter2";

struct Expected {
    service: Service,
    /// Named when nothing is set.
    missing: &'static [&'static str],
    /// Named when everything is set to nonsense, in addition to `missing`.
    garbled: &'static [&'static str],
}

const EXPECTED: [Expected; 3] = [
    Expected {
        service: Service::Vault,
        missing: &[
            "DATABASE_URL",
            "MASTER_ENCRYPTION_KEY",
            "TLS_CERT_FILE",
            "TLS_KEY_FILE",
            "TLS_CLIENT_CA_FILE",
            "SERVICE_JWKS_FILE",
            "ISSUER",
            "IDENTITY_JWKS_URL",
        ],
        garbled: &[
            "LISTEN_ADDR",
            "OPS_LISTEN_ADDR",
            "LOG_LEVEL",
            "TRUSTED_PROXIES",
        ],
    },
    Expected {
        service: Service::Identity,
        missing: &[
            "DATABASE_URL",
            "IDENTITY_SECRET_KEYS",
            "VAULT_CA_FILE",
            "CLIENT_CERT_FILE",
            "CLIENT_KEY_FILE",
            "SERVICE_KEY_FILE",
            "ISSUER",
            "SMTP_HOST",
            "MAIL_FROM",
            "REDIS_URL",
        ],
        garbled: &[
            "LISTEN_ADDR",
            "OPS_LISTEN_ADDR",
            "LOG_LEVEL",
            "VAULT_URL",
            "APP_URL",
            "MAIL_LOCALE",
            "SMTP_TLS",
            "SMTP_PORT",
            "SMTP_CA_FILE",
            "PASSWORD_MIN_LENGTH",
            "LOCKOUT_FAILURES",
            "LOCKOUT_DURATION",
            "ALLOWED_ORIGINS",
            "TOTP_ISSUER",
            "ALLOW_WEAK_BCRYPT_FOR_TESTS",
            "BCRYPT_COST",
            "SESSION_IDLE",
            "SESSION_MAX",
            "TRUSTED_PROXIES",
            "REDIS_CA_FILE",
            "REDIS_TIMEOUT",
            "RATE_LIMIT_SIGNUP",
            "RATE_LIMIT_VERIFY_EMAIL",
            "RATE_LIMIT_RESEND_VERIFICATION",
            "RATE_LIMIT_CANCEL_SIGNUP",
            "RATE_LIMIT_FORGOT_PASSWORD",
            "RATE_LIMIT_RESET_PASSWORD",
            "RATE_LIMIT_CHANGE_PASSWORD",
            "RATE_LIMIT_CHANGE_EMAIL",
            "RATE_LIMIT_CONFIRM_EMAIL",
            "RATE_LIMIT_LOGIN",
            "RATE_LIMIT_VERIFY_MFA",
            "RATE_LIMIT_REFRESH",
        ],
    },
    Expected {
        service: Service::Journal,
        missing: &[
            "DATABASE_URL",
            "ISSUER",
            "IDENTITY_JWKS_URL",
            "VAULT_CA_FILE",
            "CLIENT_CERT_FILE",
            "CLIENT_KEY_FILE",
            "SERVICE_KEY_FILE",
        ],
        garbled: &[
            "LISTEN_ADDR",
            "OPS_LISTEN_ADDR",
            "LOG_LEVEL",
            "VAULT_URL",
            "TRUSTED_PROXIES",
            "ALLOWED_ORIGINS",
        ],
    },
];

/// Taken as they are: a name of a host may come into being later, and people call their service what they like.
const ANY_TEXT: [&str; 2] = ["SMTP_HOST", "TOTP_ISSUER"];

#[tokio::test]
async fn a_missing_or_weak_secret_alone_stops_a_start_with_otherwise_good_settings() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    let weak = [
        String::new(),
        GOOD.chars().take(32).collect(),
        GOOD.replace('f', "g"),
        "00".repeat(32),
        format!("v1:{GOOD},v1:{GOOD}"),
        format!("v1:{GOOD},v2:{GOOD}"),
    ];
    for (service, name) in [
        (Service::Vault, "MASTER_ENCRYPTION_KEY"),
        (Service::Identity, "IDENTITY_SECRET_KEYS"),
    ] {
        for secret in &weak {
            stack.set(name, secret);
            let refusal = stack.start_service(service).await.unwrap_err().to_string();
            assert!(refusal.contains("exit status: 78"), "{refusal}");
            assert_eq!(named(&refusal), [name], "{refusal}");
            assert_no_value(&refusal, secret);
            assert_no_value(&refusal, GOOD);
        }
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    for expected in &EXPECTED {
        for command in ["serve", "migrate", "check-config", "doctor"] {
            let told = refused(expected.service, command, &[]);
            assert_eq!(named(&told), sorted(expected.missing.to_vec()), "{told}");
        }
    }
}

#[test]
fn everything_that_is_garbled_is_named_at_once_and_nothing_is_repeated() {
    for expected in &EXPECTED {
        let names = [expected.missing, expected.garbled].concat();
        let environment: Vec<_> = names.iter().map(|name| (*name, GARBLED)).collect();
        let told = refused(expected.service, "check-config", &environment);
        let wrong = names
            .iter()
            .copied()
            .filter(|name| !ANY_TEXT.contains(name));
        assert_eq!(named(&told), sorted(wrong.collect()), "{told}");
        assert_no_value(&told, GARBLED);
    }
}

/// What the program says about an environment that it must refuse.
fn refused(service: Service, command: &str, environment: &[(&str, &str)]) -> String {
    let Output { status, stderr, .. } = Command::new(program().with_file_name(service.binary()))
        .arg(command)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(Path::new("/"))
        .output()
        .unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(
        status.code(),
        Some(78),
        "{} {command}: {told}",
        service.name()
    );
    told
}

/// The variables at the beginning of each line of the list, sorted.
fn named(told: &str) -> Vec<&str> {
    let (_, list) = told
        .rsplit_once("problem(s):\n")
        .expect("a list of problems");
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let names = list.lines().flat_map(|line| {
        line.trim_start_matches([' ', '|'])
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .take_while(is_name)
    });
    sorted(names.collect())
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

fn assert_no_value(told: &str, value: &str) {
    assert!(
        value.is_empty() || !told.contains(value),
        "the value is repeated: {told}"
    );
}
