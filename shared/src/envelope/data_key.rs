//! The data key of one owner, person and purpose, as its owner holds it between unwrap and eviction.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::random;

/// 32 random bytes and the generation they belong to; wiped when dropped, never printed.
pub struct DataKey {
    generation: u32,
    key: Box<[u8; 32]>,
}

impl DataKey {
    /// A new key from the operating system's generator, made in its final place.
    pub fn generate(generation: u32) -> Self {
        let mut key = Box::new([0; 32]);
        random::fill(key.as_mut_slice());
        Self { generation, key }
    }

    /// A key as the vault returned it; `None` unless it is 32 bytes long.
    pub fn from_bytes(generation: u32, bytes: &Zeroizing<Vec<u8>>) -> Option<Self> {
        let mut key = Box::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self { generation, key })
    }

    /// Counts the data keys of one owner, person and purpose; records name the one that seals them.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The raw key. For the cipher and for the vault's answer, and for nothing else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("DataKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_prints_its_name_and_nothing_of_its_bytes() {
        assert_eq!(format!("{:?}", DataKey::generate(3)), "DataKey");
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        for length in [0, 16, 31, 33, 64] {
            assert!(DataKey::from_bytes(1, &Zeroizing::new(vec![7; length])).is_none());
        }
        assert!(DataKey::from_bytes(1, &Zeroizing::new(vec![7; 32])).is_some());
    }
}
