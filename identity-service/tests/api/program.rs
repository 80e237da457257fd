//! The program itself: what stops its start.

use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_identity-service");
const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn run(command: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM)
        .arg(command)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program runs")
}

#[test]
fn missing_or_weak_secrets_stop_every_start_with_all_problems_and_exit_78() {
    let weak = [
        "",
        "0123456789abcdef0123456789abcdef",
        &"00".repeat(32),
        &"zz".repeat(32),
        &format!("v1:{GOOD},v1:{GOOD}"),
        &format!("v1:{GOOD},v2:{GOOD}"),
    ];
    for command in ["serve", "migrate", "check-config"] {
        for secret in weak {
            let output = run(command, &[("IDENTITY_SECRET_KEYS", secret)]);
            assert_eq!(output.status.code(), Some(78), "{command} with {secret:?}");
            let told = String::from_utf8_lossy(&output.stderr);
            for name in [
                "IDENTITY_SECRET_KEYS",
                "DATABASE_URL",
                "ISSUER",
                "MAIL_DIR",
                "VAULT_CA_FILE",
            ] {
                assert!(told.contains(name), "{name} is not named: {told}");
            }
            let repeated = !secret.is_empty() && told.contains(secret) || told.contains(GOOD);
            assert!(!repeated, "the secret is repeated: {told}");
        }
    }
}

#[test]
fn the_api_document_needs_no_settings() {
    assert!(run("openapi", &[]).status.success());
}
