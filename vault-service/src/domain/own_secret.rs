//! 32 bytes that the vault keeps for itself in its own database, sealed under the current master key (100 bytes).
//!
//! ```text
//! 0 kind · 1 suite=0x01 · 2..4 reserved 0 · 4..8 mek_version u32be · 8..20 nonce
//! 20..52 commitment · 52..84 ciphertext of the 32 bytes · 84..100 tag
//! PRK = HKDF-Extract(salt = "", IKM = Kslot_v);  label and context are those of the kind
//! ```
//! The construction is that of `shared::envelope::committed`.

use shared::{
    envelope::{
        Context,
        committed::{self, Binding, COMMITMENT, TAG, Unopened},
    },
    random,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::keyring::{KeyVersion, Keyring};

const HEADER: usize = 20;
pub(super) const SECRET: usize = 32;
const SEALED: usize = HEADER + COMMITMENT + SECRET + TAG;
const SUITE: u8 = 1;

/// What tells one kind of them from another.
pub(super) struct Kind {
    pub(super) number: u8,
    pub(super) label: &'static [u8],
}

/// Why what is stored did not open: the database holds what this vault never wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Damaged {
    #[error("not of a known kind, suite and shape")]
    Malformed,
    #[error("sealed under master key version {0}, which is not here")]
    UnknownVersion(KeyVersion),
    #[error(transparent)]
    Unopened(#[from] Unopened),
}

impl Kind {
    /// Seals 32 bytes under the current master key, with a nonce drawn here.
    pub(super) fn seal(
        &self,
        keyring: &Keyring,
        context: &Context,
        secret: &[u8],
    ) -> (KeyVersion, Vec<u8>) {
        let version = keyring.current();
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&[self.number, SUITE, 0, 0]);
        header.extend_from_slice(&version.number().to_be_bytes());
        header.extend_from_slice(&random::nonce());
        let header: &[u8; HEADER] = header.first_chunk().expect("4 + 4 + 12 bytes");
        let key = keyring
            .slot_key(version)
            .expect("the current version is in the ring");
        let sealed = committed::seal(
            &committed::extract(&[], key),
            &self.binding(header, context),
            secret,
        );
        (version, sealed)
    }

    /// Opens what [`Kind::seal`] made for the same context.
    pub(super) fn open(
        &self,
        keyring: &Keyring,
        context: &Context,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        let sealed: &[u8; SEALED] = sealed.try_into().map_err(|_| Damaged::Malformed)?;
        let (header, sealed) = sealed
            .split_first_chunk::<HEADER>()
            .ok_or(Damaged::Malformed)?;
        let [kind, SUITE, 0, 0, v1, v2, v3, v4, ..] = *header else {
            return Err(Damaged::Malformed);
        };
        if kind != self.number {
            return Err(Damaged::Malformed);
        }
        let version = KeyVersion::new(u32::from_be_bytes([v1, v2, v3, v4]));
        let version = version.ok_or(Damaged::Malformed)?;
        let key = keyring.slot_key(version);
        let key = key.ok_or(Damaged::UnknownVersion(version))?;
        Ok(committed::open(
            &committed::extract(&[], key),
            &self.binding(header, context),
            sealed,
        )?)
    }

    fn binding<'a>(&self, header: &'a [u8; HEADER], context: &'a Context) -> Binding<'a> {
        Binding {
            label: self.label,
            header,
            nonce: header.last_chunk().expect("a header ends with its nonce"),
            context,
        }
    }
}

/// The master key that something is said to be sealed under.
pub(super) fn version(sealed: &[u8]) -> Option<KeyVersion> {
    let (_, rest) = sealed.split_first_chunk::<4>()?;
    KeyVersion::new(u32::from_be_bytes(*rest.first_chunk()?))
}
