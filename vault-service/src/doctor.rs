//! `vault-service doctor`: what the vault needs, beside what every service does.

use std::{process::ExitCode, sync::Arc};

use shared::{
    clock::Clock,
    doctor::{self, Doctor, Finding},
    postgres::Pool,
    service::{StartError, exit_code},
};

use crate::{
    Settings,
    check_master_keys::{WrongMasterKeys, look_at_master_keys},
    domain::keyring::Keyring,
    settings::MASTER_KEYS,
    store::MIGRATIONS,
};

/// Looks at everything, and prints what it finds. 0 unless something failed, then 1; 78 for settings.
pub async fn run_doctor(settings: Settings, clock: Clock) -> ExitCode {
    settings
        .service
        .install_command_log("vault", env!("CARGO_PKG_VERSION"));
    let pool = match settings.service.pool() {
        Ok(pool) => pool,
        Err(problems) => return exit_code(Err(StartError::from(problems))),
    };
    let people = Arc::new(settings.people.verifier(&clock));
    let memory = look_at_memory(settings.keyring.as_ref());
    let keyring = settings.keyring;
    let keys = pool.clone();
    Doctor::new()
        .check("database", doctor::database(pool.clone(), MIGRATIONS))
        .check("database clock", doctor::clock_of_postgres(pool, clock))
        .check("master keys", async move {
            look_at_keys(keyring.as_ref(), &keys).await
        })
        .check("key memory", async move { memory })
        // Identity needs the vault to start, so the vault must do without it for a while.
        .check("identity keys", async move {
            doctor::keys_of_identity(people).await.tolerated()
        })
        .run()
        .await
}

async fn look_at_keys(keyring: Option<&Keyring>, pool: &Pool) -> Finding {
    let Some(keyring) = keyring else {
        return Finding::ok("sealed; whether they are the right ones shows when they are opened");
    };
    let looked = async { look_at_master_keys(&*pool.get().await?, keyring).await };
    match looked.await {
        Ok(new) if new.is_empty() => {
            let versions = keyring.versions().len();
            Finding::ok(format!("{versions}, as the database remembers them"))
        }
        Ok(new) => Finding::warning(
            format!("the database has not seen version {new} yet"),
            "start the vault, and keep the keys elsewhere, too: from then on people's keys depend on them",
        ),
        Err(WrongMasterKeys::Unexpected(error)) => Finding::failure(
            format!("cannot be compared: {}", error.chain()),
            "see the check of the database",
        ),
        Err(wrong) => Finding::failure(
            format!("{MASTER_KEYS} {wrong}"),
            "give the vault the keys that its database was written with",
        ),
    }
}

fn look_at_memory(keyring: Option<&Keyring>) -> Finding {
    if keyring.is_none_or(Keyring::is_locked) {
        Finding::ok("locked, and in no core dump")
    } else {
        Finding::warning(
            "may be swapped out",
            "allow the vault locked memory (LimitMEMLOCK=, ulimit -l) or run it without swap",
        )
    }
}
