//! Where the master keys come from.

use std::{fs, io, path::PathBuf};

use shared::settings::versioned_keys;
use zeroize::Zeroizing;

use crate::domain::{
    keyring::Keyring,
    sealed_keyring::{Opener, SealedKeyring},
    share::Share,
};

/// Where the master keys come from.
pub(crate) enum KeySource {
    /// `MASTER_ENCRYPTION_KEY` itself: read once, at the start.
    Variable,
    /// `MASTER_ENCRYPTION_KEY_FILE`: read again when it changes.
    File(PathBuf),
    /// `SEALED_KEYRING_FILE`: somebody has to open it, at every start.
    Sealed(PathBuf),
}

impl KeySource {
    /// What opens the vault, as far as that is known now.
    pub(crate) fn opener(&self) -> Option<Opener> {
        let Self::Sealed(path) = self else {
            return None;
        };
        Some(sealed_keyring(path).ok()?.opener().clone())
    }
}

/// The file as it is now.
pub(crate) fn sealed_keyring(path: &PathBuf) -> Result<SealedKeyring, String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot be read: {}", error.kind()))?;
    SealedKeyring::parse(&text)
}

/// Opens a sealed keyring for a command beside the vault: with the passphrase, or with a share a line.
pub(crate) fn opened_by_standard_input(path: &PathBuf) -> Result<Keyring, String> {
    let sealed = sealed_keyring(path)?;
    let text = io::read_to_string(io::stdin()).map(Zeroizing::new);
    let text = text.map_err(|error| format!("standard input: {}", error.kind()))?;
    let opened = match sealed.opener() {
        Opener::Passphrase { .. } => {
            let line = text.lines().next().unwrap_or_default();
            sealed.open_with_passphrase(&line.into())
        }
        Opener::Shares(set) => {
            let shares = text.lines().map(|line| Share::parse(line, set));
            let shares: Result<Vec<_>, _> = shares.collect();
            sealed.open_with_shares(&shares.map_err(|why| format!("a line {why}"))?)
        }
    };
    keyring(&opened.map_err(|why| why.to_string())?)
}

/// Reads master keys that lie open in a file.
pub(crate) fn open_file(path: &PathBuf) -> Result<Keyring, String> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| format!("cannot be read: {}", error.kind()))?;
    keyring(text.trim())
}

/// The ring of `2:<64 hex>,1:<64 hex>`.
pub(crate) fn keyring(text: &str) -> Result<Keyring, String> {
    let ring = Keyring::new(versioned_keys(text)?);
    ring.map_err(|error| format!("finds no memory for its keys: {}", error.kind()))
}
