//! `vault-service shares create`, `passphrase create`: seal the master keys of `MASTER_ENCRYPTION_KEY` (or its file) into a
//! file that a vault may have in place of them.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use secrecy::SecretString;
use shared::settings::{Problems, Reader, versioned_keys};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{domain::sealed_keyring::SealedKeyring, operator::first_line, settings::MASTER_KEYS};

/// Split what opens the master keys among people.
#[derive(Debug, Subcommand)]
pub enum SharesCommand {
    /// Seal the master keys, and print the shares of what opens them, one a line: give each to another person.
    Create {
        /// The file to be made: `SEALED_KEYRING_FILE` of the vault.
        #[arg(long, value_name = "FILE")]
        keyring: PathBuf,
        /// How many shares open it, 2 at least.
        #[arg(long)]
        needed: u8,
        /// How many shares there are, 16 at most.
        #[arg(long)]
        shares: u8,
    },
}

/// Put the master keys behind a passphrase.
#[derive(Debug, Subcommand)]
pub enum PassphraseCommand {
    /// Seal the master keys with the first line of standard input, 20 bytes at least.
    Create {
        /// The file to be made: `SEALED_KEYRING_FILE` of the vault.
        #[arg(long, value_name = "FILE")]
        keyring: PathBuf,
    },
}

#[derive(Debug, Error)]
enum NotSealed {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("{0}")]
    Asked(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

impl SharesCommand {
    /// Does it. 0 when it is done, 78 for settings, 1 for anything else.
    pub fn run(self, lookup: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let Self::Create {
            keyring,
            needed,
            shares,
        } = self;
        told(master_keys(lookup).and_then(|keys| {
            let sealed = SealedKeyring::with_shares(&keys, needed, shares);
            let (sealed, shares) = sealed.map_err(NotSealed::Asked)?;
            write(&keyring, &sealed)?;
            for share in shares {
                writeln!(io::stdout(), "{}", share.text().as_str())?;
            }
            Ok(())
        }))
    }
}

impl PassphraseCommand {
    /// Does it. 0 when it is done, 78 for settings, 1 for anything else.
    pub fn run(self, lookup: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let Self::Create { keyring } = self;
        told(master_keys(lookup).and_then(|keys| {
            let passphrase = SecretString::from(first_line()?.as_str());
            let sealed = SealedKeyring::with_passphrase(&keys, &passphrase);
            let sealed = sealed.map_err(|why| NotSealed::Asked(format!("the passphrase {why}")))?;
            write(&keyring, &sealed)
        }))
    }
}

fn told(outcome: Result<(), NotSealed>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(NotSealed::Settings(problems)) => problems.report(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The text of the setting, once it is known to be good.
fn master_keys(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Zeroizing<String>, NotSealed> {
    let mut env = Reader::new(lookup);
    let keys = env.secret(MASTER_KEYS, |text| {
        versioned_keys(text)?;
        Ok(Zeroizing::new(text.to_owned()))
    });
    Ok(env.finish(|| keys)?)
}

/// A file that was there before is not written over: it may be the only one that opens.
fn write(path: &Path, sealed: &SealedKeyring) -> Result<(), NotSealed> {
    let failed = |error| NotSealed::File(path.to_owned(), error);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(sealed.text().as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
