//! The one construction under wrapped keys, sealed salts and records: HKDF-SHA-256 (RFC 5869) makes a
//! fresh key and a commitment from a secret, a label, a header and a context; AES-256-GCM-SIV
//! (RFC 8452) seals under that key with header, commitment and context as associated data.
//!
//! The commitment matters because GCM-SIV alone does not bind a ciphertext to one key: without it a
//! crafted ciphertext could open under two.

use aes_gcm_siv::{Aes256GcmSiv, Key, KeyInit, Nonce, Tag, aead::AeadInOut};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::Context;

/// Bytes of the commitment that stands before the ciphertext.
pub const COMMITMENT: usize = 32;
/// Bytes of the authentication tag that stands after it.
pub const TAG: usize = 16;
/// Bytes of a nonce (RFC 8452).
pub const NONCE: usize = 12;

/// What is bound to a ciphertext beside its context, and where its nonce comes from.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// Domain separation between formats, such as `vault/v1/rec`.
    pub label: &'static [u8],
    /// The clear header in front of the ciphertext, nonce included.
    pub header: &'a [u8],
    /// The nonce, which is part of the header and drawn by the format's own `seal`.
    pub nonce: &'a [u8; NONCE],
    /// Where the ciphertext belongs.
    pub context: &'a Context,
}

/// Why a ciphertext did not open. Both are one answer to a client; the log keeps them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unopened {
    /// The commitment differs: another key, or another context.
    #[error("wrong key or context")]
    WrongKeyOrContext,
    /// The commitment fits but the tag does not: the bytes were changed.
    #[error("tampered ciphertext")]
    Tampered,
}

/// `PRK = HKDF-Extract(salt, key)`: the secret that [`seal`] and [`open`] derive from.
pub fn extract(salt: &[u8], key: &[u8]) -> Hkdf<Sha256> {
    Hkdf::new(Some(salt), key)
}

/// `header || commitment || ciphertext || tag`.
///
/// # Panics
/// With a plaintext over 64 GiB, the cipher's own limit.
pub fn seal(secret: &Hkdf<Sha256>, binding: &Binding<'_>, plaintext: &[u8]) -> Vec<u8> {
    let keys = Keys::derive(secret, binding);
    let before = binding.header.len() + COMMITMENT;
    let mut sealed = Vec::with_capacity(before + plaintext.len() + TAG);
    sealed.extend_from_slice(binding.header);
    sealed.extend_from_slice(keys.commitment());
    sealed.extend_from_slice(plaintext);
    let (_, body) = sealed.split_at_mut(before);
    let tag = keys
        .cipher()
        .encrypt_inout_detached(
            &Nonce::from(*binding.nonce),
            &keys.associated(binding),
            body.into(),
        )
        .expect("texts are far below the cipher's limit of 2^36 bytes");
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal`] put behind the header. The commitment is compared, in constant time, before anything is decrypted;
/// what it does not fit is decrypted all the same, for nothing, so that both refusals take as long.
pub fn open(
    secret: &Hkdf<Sha256>,
    binding: &Binding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let (commitment, rest) = sealed
        .split_at_checked(COMMITMENT)
        .ok_or(Unopened::Tampered)?;
    let (body, tag) = rest.split_last_chunk::<TAG>().ok_or(Unopened::Tampered)?;
    let keys = Keys::derive(secret, binding);
    let is_committed = keys.commitment().ct_eq(commitment);
    let mut plaintext = Zeroizing::new(body.to_vec());
    let decrypted = keys.cipher().decrypt_inout_detached(
        &Nonce::from(*binding.nonce),
        &keys.associated(binding),
        plaintext.as_mut_slice().into(),
        &Tag::from(*tag),
    );
    if !bool::from(is_committed) {
        return Err(Unopened::WrongKeyOrContext);
    }
    decrypted.map_err(|_| Unopened::Tampered)?;
    Ok(plaintext)
}

/// `okm = Expand(PRK, label || header || context, 64)`: the first half encrypts, the second commits.
struct Keys(Zeroizing<[u8; 64]>);

impl Keys {
    fn derive(secret: &Hkdf<Sha256>, binding: &Binding<'_>) -> Self {
        let mut okm = Zeroizing::new([0; 64]);
        secret
            .expand_multi_info(
                &[binding.label, binding.header, binding.context.bytes()],
                okm.as_mut_slice(),
            )
            .expect("64 bytes is within the 8,160 that HKDF-SHA-256 can give");
        Self(okm)
    }

    fn cipher(&self) -> Aes256GcmSiv {
        let key: &[u8; 32] = self.0.first_chunk().expect("64 bytes hold 32");
        Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(*key))
    }

    fn commitment(&self) -> &[u8] {
        self.0.last_chunk::<COMMITMENT>().expect("64 bytes hold 32")
    }

    fn associated(&self, binding: &Binding<'_>) -> Vec<u8> {
        [binding.header, self.commitment(), binding.context.bytes()].concat()
    }
}
