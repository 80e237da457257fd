//! What a device gets for having logged in, or for having shown a mailed token: with it, its own failures are counted
//! apart, so that a stranger who hammers an address locks out strangers and not its owner.
//!
//! It opens nothing, and nothing of it is stored. The person and the epoch of their sessions are under the MAC and not
//! in the token: one of another account, and one from before everything was revoked, are as good as none.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use shared::{random, user_id::UserId};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    secret_keys::SecretKeys,
    token_type::{NotOurs, without_prefix},
};

const PREFIX: &str = "kst_d_";
const DOMAIN: &[u8] = b"identity/v1/device-token";
/// Every login gives a new one, so that only a device that is left alone for so long is forgotten.
pub(crate) const LIFETIME: Duration = Duration::days(180);

/// Whose device it is, and since which revocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) user_id: UserId,
    /// `accounts.session_epoch`: whatever ends all sessions of a person forgets their devices, too.
    pub(crate) epoch: i64,
}

/// A token for a device that has just shown that it is its person's: `kst_d_` and base64url of `device (16) || issued at
/// (8, unix seconds, big endian) || HMAC-SHA-256 (32)`.
pub(crate) fn issue(keys: &SecretKeys, holder: Holder, now: OffsetDateTime) -> SecretString {
    let issued_at = now.unix_timestamp().to_be_bytes();
    let said = [random::bytes::<16>().as_slice(), &issued_at].concat();
    let mac = keys.device_mac(&message(holder, &said));
    format!(
        "{PREFIX}{}",
        BASE64_URL_SAFE_NO_PAD.encode([said, mac].concat())
    )
    .into()
}

/// Whether a text is another kind of token, which no device holds in the place of its own.
pub(crate) fn is_another_type(text: &str) -> bool {
    without_prefix(text, PREFIX) == Err(NotOurs::WrongType)
}

/// The device, if this token was given to one of theirs, not too long ago, and nothing was revoked since. Anything
/// else is no device, and nobody is told why.
pub(crate) fn known(
    keys: &SecretKeys,
    holder: Holder,
    token: &str,
    now: OffsetDateTime,
) -> Option<Uuid> {
    let encoded = token.strip_prefix(PREFIX)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (said, mac) = bytes.split_first_chunk::<24>()?;
    if mac.len() != 32 || !keys.verifies_device_mac(&message(holder, said), mac) {
        return None;
    }
    let (device, issued_at) = said.split_first_chunk::<16>()?;
    let issued_at = i64::from_be_bytes(*issued_at.first_chunk()?);
    let age = now.unix_timestamp().checked_sub(issued_at)?;
    (age < LIFETIME.whole_seconds()).then(|| Uuid::from_bytes(*device))
}

/// What the MAC covers.
fn message(holder: Holder, said: &[u8]) -> Vec<u8> {
    let user = holder.user_id.uuid();
    [DOMAIN, user.as_bytes(), &holder.epoch.to_be_bytes(), said].concat()
}

#[cfg(test)]
mod tests {
    use super::super::secret_keys::tests::keys;
    use super::*;
    use secrecy::ExposeSecret;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn ada(epoch: i64) -> Holder {
        Holder {
            user_id: UserId::new(Uuid::from_u128(1)),
            epoch,
        }
    }

    fn issued() -> String {
        issue(&keys(&[1]), ada(3), NOW).expose_secret().to_owned()
    }

    #[test]
    fn a_device_is_known_to_its_person_for_half_a_year_and_under_a_newer_key() {
        let token = issued();
        let known = |versions: &[u32], now| known(&keys(versions), ada(3), &token, now);
        let device = known(&[1], NOW).expect("it was just issued");
        let last = NOW + LIFETIME - Duration::seconds(1);
        assert_eq!(known(&[2, 1], last), Some(device));
        assert_eq!(known(&[1], NOW + LIFETIME), None);
        assert_eq!(known(&[2], NOW), None);
    }

    #[test]
    fn a_device_of_somebody_else_or_of_an_earlier_epoch_is_none() {
        let token = issued();
        let eve = Holder {
            user_id: UserId::new(Uuid::from_u128(2)),
            ..ada(3)
        };
        for holder in [eve, ada(2), ada(4)] {
            assert_eq!(known(&keys(&[1]), holder, &token, NOW), None, "{holder:?}");
        }
    }

    #[test]
    fn no_change_to_a_token_is_taken() {
        let token = issued();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("it is ASCII");
            assert_eq!(known(&keys(&[1]), ada(3), &changed, NOW), None, "{at}");
        }
        for other in ["", "kst_d_", "a.b.c", &token[1..], &format!("{token}AAAA")] {
            assert_eq!(known(&keys(&[1]), ada(3), other, NOW), None, "{other}");
        }
    }

    #[test]
    fn every_login_gives_another_device() {
        assert_ne!(issued(), issued());
    }
}
