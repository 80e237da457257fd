//! `journal-service doctor`: what every service needs, and identity's public keys.

use std::{process::ExitCode, sync::Arc};

use shared::{
    clock::Clock,
    doctor::{self, Doctor},
    service::{StartError, exit_code},
    settings::Problems,
    vault_client::VaultClient,
};

use crate::{Settings, store::MIGRATIONS};

/// Looks at everything, and prints what it finds. 0 unless something failed, then 1; 78 for settings.
pub async fn run_doctor(settings: Settings, clock: Clock) -> ExitCode {
    settings
        .service
        .install_command_log("journal", env!("CARGO_PKG_VERSION"));
    match examine(settings, &clock) {
        Ok(doctor) => doctor.run().await,
        Err(problems) => exit_code(Err(StartError::from(problems))),
    }
}

fn examine(settings: Settings, clock: &Clock) -> Result<Doctor, Problems> {
    let pool = settings.service.pool()?;
    let vault = VaultClient::new(settings.vault);
    let people = Arc::new(settings.people.verifier(clock));
    Ok(Doctor::new()
        .check("database", doctor::database(pool.clone(), MIGRATIONS))
        .check(
            "database clock",
            doctor::clock_of_postgres(pool, clock.clone()),
        )
        .check("vault", doctor::vault(vault.clone(), clock.clone()))
        .check("vault clock", doctor::clock_of_vault(vault, clock.clone()))
        .check("identity keys", doctor::keys_of_identity(people)))
}
