//! A service with a wrong setting does not start: it names every problem at once and no value, and exits with 78.

use std::path::Path;
use std::process::{Command, Output};

use stack::{Service, Stack};

use crate::launcher::program;

const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What every other setting is set to: no address, no URL, no number, no file.
const GARBLED: &str = "hunter2";

/// Its table of settings is the list of all there are.
const RUN_BOOK: &str = include_str!("../../../README.md");

struct Expected {
    service: Service,
    /// Named when nothing is set.
    missing: &'static [&'static str],
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
    },
];

/// Taken as they are: a host or a file may come into being later, and people call themselves and theirs what they like.
const ANY_TEXT: [&str; 6] = [
    "AUDIENCE",
    "SMTP_HOST",
    "SMTP_PASSWORD",
    "SMTP_USER",
    "TOMBSTONE_FILE",
    "TOTP_ISSUER",
];

/// Excludes `SMTP_HOST`: mail goes one way.
const OTHER_WAY: &str = "MAIL_DIR";

/// What the table does not offer.
const FOR_TESTS: &str = "ALLOW_WEAK_BCRYPT_FOR_TESTS";

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
        let mut names = settings_of(expected.service);
        for name in expected.missing {
            assert!(names.contains(name), "{name} is not in the run book");
        }
        names.retain(|name| *name != OTHER_WAY);
        if expected.service == Service::Identity {
            names.push(FOR_TESTS);
        }
        let environment: Vec<_> = names.iter().map(|name| (*name, GARBLED)).collect();
        let told = refused(expected.service, "check-config", &environment);
        names.retain(|name| !ANY_TEXT.contains(name));
        assert_eq!(named(&told), sorted(names), "{told}");
        assert_no_value(&told, GARBLED);
    }
}

#[test]
fn mail_goes_one_way() {
    let both = [("SMTP_HOST", GARBLED), (OTHER_WAY, GARBLED)];
    let told = refused(Service::Identity, "check-config", &both);
    assert!(named(&told).contains(&"SMTP_HOST"), "{told}");
    let told = refused(Service::Identity, "check-config", &[(OTHER_WAY, GARBLED)]);
    assert!(!named(&told).contains(&"SMTP_HOST"), "{told}");
}

/// Every variable that the run book's table offers to this service.
fn settings_of(service: Service) -> Vec<&'static str> {
    let table = RUN_BOOK
        .lines()
        .skip_while(|line| !line.starts_with("| setting | services |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| "));
    let rows = table.filter_map(|row| {
        let mut cells = row.split(" | ");
        Some((cells.next()?, cells.next()?))
    });
    let its = rows.filter(|(_, services)| {
        let mut services = services.split(", ");
        services.any(|it| it == "all" || it == service.name())
    });
    its.flat_map(|(names, _)| names.split('`').skip(1).step_by(2))
        .collect()
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
