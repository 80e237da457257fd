//! What the operator asks a running vault, with credentials of their own: `VAULT_URL`, `VAULT_CA_FILE`, `CLIENT_CERT_FILE`,
//! `CLIENT_KEY_FILE` and `SERVICE_KEY_FILE`, as every caller has them.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Subcommand, ValueEnum};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use shared::{
    clock::Clock,
    problem::Unexpected,
    settings::{Problems, Reader},
    vault_client::{VaultClient, VaultError, VaultSettings},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Ask a running vault.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Show every version of the master key, and what depends on it.
    MasterKeys,
    /// Have a version of the master key destroyed that nothing depends on any more.
    ScheduleDestruction {
        version: u32,
        /// How long it can be taken back: 7 to 30 days.
        #[arg(long, default_value_t = 30)]
        wait_days: u32,
    },
    /// Keep a version of the master key that was to be destroyed.
    CancelDestruction { version: u32 },
    /// Show whether the vault is sealed, and what opens it.
    SealStatus,
    /// Wipe the master keys from the vault's memory.
    Seal,
    /// Open the vault: with a passphrase or one share, the first line of standard input, or with its own key file.
    Unseal { with: Opener },
}

/// What opens the vault.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Opener {
    Passphrase,
    Share,
    KeyFile,
}

#[derive(Debug, Error)]
enum Failed {
    #[error("the vault refused: {0}")]
    Refused(String),
    #[error("{}", .0.chain())]
    Unavailable(Unexpected),
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
    #[error("an answer that is none")]
    Answer(#[from] reqwest::Error),
}

impl From<VaultError> for Failed {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Refused(code) => Self::Refused(code),
            VaultError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl OperatorCommand {
    /// Asks, and prints the answer as JSON. 0 when the vault did it, 78 for settings, 1 for anything else.
    pub async fn run(self, lookup: &dyn Fn(&str) -> Option<String>, clock: Clock) -> ExitCode {
        let vault = match client(lookup) {
            Ok(vault) => vault,
            Err(problems) => return problems.report(),
        };
        match self.ask(&vault, clock).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    async fn ask(self, vault: &VaultClient, clock: Clock) -> Result<(), Failed> {
        let (path, body) = match self {
            Self::MasterKeys => {
                return print(vault.read("v1/master-keys", clock.now()).await?).await;
            }
            Self::SealStatus => {
                return print(vault.read("v1/seal-status", clock.now()).await?).await;
            }
            Self::ScheduleDestruction { version, wait_days } => (
                format!("v1/master-keys/{version}/schedule-destruction"),
                json!({ "wait_days": wait_days }),
            ),
            Self::CancelDestruction { version } => {
                (format!("v1/master-keys/{version}/cancel"), json!({}))
            }
            Self::Seal => ("v1/seal".to_owned(), json!({})),
            Self::Unseal { with } => ("v1/unseal".to_owned(), secret(with)?),
        };
        print(
            vault
                .command(Method::POST, &path, &body, clock.now())
                .await?,
        )
        .await
    }
}

fn client(lookup: &dyn Fn(&str) -> Option<String>) -> Result<VaultClient, Problems> {
    let mut env = Reader::new(lookup);
    let settings = VaultSettings::read(&mut env, "operator");
    Ok(VaultClient::new(env.finish(|| settings)?))
}

fn secret(with: Opener) -> io::Result<Value> {
    Ok(match with {
        Opener::Passphrase => json!({ "passphrase": first_line()?.as_str() }),
        Opener::Share => json!({ "share": first_line()?.as_str() }),
        Opener::KeyFile => json!({}),
    })
}

/// A secret goes by standard input: arguments are for everybody to see.
pub(crate) fn first_line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().read_line(&mut line)?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

async fn print(answer: Response) -> Result<(), Failed> {
    let answer: Value = answer.json().await?;
    writeln!(io::stdout(), "{answer:#}")?;
    Ok(())
}
