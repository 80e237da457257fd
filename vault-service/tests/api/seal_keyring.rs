//! Files with sealed master keys: how they are made, and the commands that read them.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use crate::{
    program::PROGRAM,
    sealing::{PHRASE, share, world_with_shares},
    world::{MASTER_KEY, World},
};

/// Runs the program for whoever holds the master keys.
fn program(arguments: &[&str], keys: &str, input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env_clear()
        .env("MASTER_ENCRYPTION_KEY", keys)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    // It may not want to read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

pub(crate) fn keyring(world: &World) -> String {
    world.folder().join("keyring").display().to_string()
}

/// Three of five shares open what is sealed in the file of that name.
pub(crate) fn split(file: &str, keys: &str) -> Vec<String> {
    let arguments = [
        "shares",
        "create",
        "--keyring",
        file,
        "--needed",
        "3",
        "--shares",
        "5",
    ];
    let output = program(&arguments, keys, "");
    assert!(output.status.success(), "{output:?}");
    let shares = String::from_utf8(output.stdout).expect("text");
    shares.lines().map(str::to_owned).collect()
}

pub(crate) fn seal_with_passphrase(file: &str, keys: &str) {
    let arguments = ["passphrase", "create", "--keyring", file];
    let output = program(&arguments, keys, &format!("{PHRASE}\n"));
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_audit_of_a_sealed_vault_is_verified_with_what_opens_it() {
    let (world, shares) = world_with_shares().await;
    let vault = world.start().await;
    for typed in &shares[..3] {
        assert_eq!(share(&world, &vault, typed).await.status, 200);
    }
    let verify = |input: String| {
        let mut child = Command::new(PROGRAM)
            .args(["audit", "verify"])
            .env_clear()
            .envs(&world.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    };
    let output = verify(shares[1..4].join("\n"));
    assert!(output.status.success(), "{output:?}");
    let output = verify(shares[1..3].join("\n"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn keys_in_the_open_beside_a_seal_are_refused_at_the_start() {
    let (world, _) = world_with_shares().await;
    let mut environment = world.environment.clone();
    environment.insert("MASTER_ENCRYPTION_KEY", MASTER_KEY.to_owned());
    let check = |environment: &std::collections::HashMap<&'static str, String>| {
        Command::new(PROGRAM)
            .arg("check-config")
            .env_clear()
            .envs(environment)
            .output()
            .expect("the program runs")
    };
    let output = check(&environment);
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("SEALED_KEYRING_FILE is set beside"), "{told}");
    assert!(check(&world.environment).status.success());
    fs::write(keyring(&world), "hunter2").expect("written");
    let output = check(&world.environment);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("SEALED_KEYRING_FILE is not a sealed keyring"),
        "{told}"
    );
}

#[tokio::test]
async fn a_sealed_keyring_is_its_owners_alone_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new().await;
    let file = keyring(&world);
    split(&file, MASTER_KEY);
    let mode = fs::metadata(&file).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read_to_string(&file).expect("text");
    assert!(!before.contains(MASTER_KEY));
    let arguments = ["passphrase", "create", "--keyring", &file];
    let output = program(&arguments, MASTER_KEY, &format!("{PHRASE}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("text"), before);
    let other = world.folder().join("other").display().to_string();
    for (arguments, input) in [
        (vec!["passphrase", "create", "--keyring", &other], "short\n"),
        (
            vec![
                "shares",
                "create",
                "--keyring",
                &other,
                "--needed",
                "1",
                "--shares",
                "3",
            ],
            "",
        ),
    ] {
        let output = program(&arguments, MASTER_KEY, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(fs::metadata(&other).is_err(), "{arguments:?}");
    }
    let output = program(
        &[
            "shares",
            "create",
            "--keyring",
            &other,
            "--needed",
            "2",
            "--shares",
            "3",
        ],
        "hunter2",
        "",
    );
    assert_eq!(output.status.code(), Some(78));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
}
