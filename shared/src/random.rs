//! Random bytes and time-ordered ids, drawn from the operating system and nowhere else.

use std::cell::RefCell;

use rand_core::{Rng, UnwrapErr};
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use crate::envelope::committed::NONCE;

/// Nonces that a thread draws together: 252 bytes, as the system gives up to 256 in one piece.
const TOGETHER: usize = 21;

/// `N` bytes from the operating system's generator (`getrandom(2)`).
///
/// # Panics
/// When the operating system cannot give randomness: nothing secret can be made then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills a buffer that already has its final place, so that a secret never exists on the stack.
///
/// # Panics
/// As [`bytes`].
pub fn fill(buffer: &mut [u8]) {
    UnwrapErr(getrandom::SysRng).fill_bytes(buffer);
}

/// A nonce for AES-GCM-SIV: from the operating system's generator as well, but drawn ahead, because a call into the system
/// costs a third of what is sealed under it. Nonces are no secrets, so nothing is lost where a thread keeps some. A machine that
/// is resumed twice from one snapshot uses some of them twice, which this cipher is made for (RFC 8452 §1): equal texts of the
/// same place show as equal, and nothing else does.
///
/// # Panics
/// As [`bytes`].
pub fn nonce() -> [u8; NONCE] {
    thread_local! {
        static AHEAD: RefCell<Vec<[u8; NONCE]>> = const { RefCell::new(Vec::new()) };
    }
    AHEAD.with_borrow_mut(|ahead| {
        if ahead.is_empty() {
            let drawn = bytes::<{ TOGETHER * NONCE }>();
            ahead.extend_from_slice(drawn.as_chunks().0);
        }
        ahead.pop().expect("some were drawn")
    })
}

/// A `UUIDv7` (RFC 9562 §5.7) for something that came to be at `now`: millisecond order, 74 random
/// bits. It names things; it is never a secret.
pub fn uuid_v7(now: OffsetDateTime) -> Uuid {
    let millis = now.unix_timestamp_nanos() / 1_000_000;
    Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(0), &bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;
    use time::macros::datetime;

    #[test]
    fn no_nonce_comes_twice_on_any_thread() {
        let draw = || (0..1_000).map(|_| nonce()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(draw)).collect();
        let threads = threads
            .into_iter()
            .map(|it| it.join().expect("it draws them"));
        let all: HashSet<_> = threads.flatten().collect();
        assert_eq!(all.len(), 8_000);
    }

    #[test]
    fn ids_carry_their_moment_and_differ() {
        let now = datetime!(2026-01-02 03:04:05.678 UTC);
        let (first, second) = (uuid_v7(now), uuid_v7(now));
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
        let (seconds, nanos) = first
            .get_timestamp()
            .expect("version 7 has a time")
            .to_unix();
        assert_eq!(i64::try_from(seconds), Ok(now.unix_timestamp()));
        assert_eq!(nanos / 1_000_000, 678);
    }
}
