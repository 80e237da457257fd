//! Lockout: after so many failed guesses at one thing, nobody may guess at it for a while.
//!
//! ```text
//! an attempt, before anything is compared:
//!   nothing counted, or its time is up   → counted as the first
//!   fewer counted than `failures`        → counted; the time starts anew
//!   as many                              → locked until the time is up, whatever is guessed
//! a success                              → all of it is forgotten
//! ```
//!
//! Counting first is what makes a hundred guesses at once no better than one after another. Attempts that are turned
//! away do not prolong the lock, or a stranger could keep it up for ever with one request per quarter of an hour.

use shared::user_id::UserId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    email_address::{EmailAddress, normalised},
    secret_keys::SecretKeys,
};

/// When guessing is stopped, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lockout {
    /// Failures without a success in between.
    pub(crate) failures: u32,
    /// How long the lock lasts; fewer failures are forgotten after the same time without another.
    pub(crate) duration: Duration,
}

/// What is guessed at. Only a MAC of it is stored, so that the table names no address.
pub(crate) struct Bucket {
    pub(crate) mac: Vec<u8>,
    /// The person, where the bucket belongs to one.
    pub(crate) user_id: Option<UserId>,
}

/// What a bucket is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guessed {
    /// Whatever was given for an address.
    Address,
    /// A device or a session of a person's.
    Device,
}

/// What was counted, this attempt included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) attempts: u64,
    pub(crate) over_at: OffsetDateTime,
}

impl Bucket {
    /// The password of whatever was given for an address, be it one or not. A new secret key starts its counts
    /// afresh, and the locks under the old one lapse.
    pub(crate) fn identifier(keys: &SecretKeys, text: &str) -> Self {
        Self {
            mac: keys.lockout_mac(&[b"identifier\0", normalised(text).as_bytes()]),
            user_id: None,
        }
    }

    /// The password of a sign-up that waits for an address, by whoever reads its mails; apart from logging in, so that
    /// no stranger can keep that reader waiting.
    pub(crate) fn confirmation(keys: &SecretKeys, address: &EmailAddress) -> Self {
        Self {
            mac: keys.lockout_mac(&[b"confirmation\0", address.normalised().as_bytes()]),
            user_id: None,
        }
    }

    /// The password of an account, from a device that it knows.
    pub(crate) fn device(keys: &SecretKeys, user_id: UserId, device: Uuid) -> Self {
        let (user, device) = (user_id.uuid(), device.as_bytes());
        Self {
            mac: keys.lockout_mac(&[b"device\0", user.as_bytes(), device]),
            user_id: Some(user_id),
        }
    }

    /// The password of an account, from one of its sessions: whoever stole that has no more guesses at the password
    /// than a stranger, and takes none from the owner.
    pub(crate) fn session(keys: &SecretKeys, user_id: UserId, session: Uuid) -> Self {
        let (user, session) = (user_id.uuid(), session.as_bytes());
        Self {
            mac: keys.lockout_mac(&[b"session\0", user.as_bytes(), session]),
            user_id: Some(user_id),
        }
    }
}

impl Lockout {
    /// How much longer an attempt that was just counted is locked out; `None` when it may be compared.
    pub(crate) fn locked_for(&self, counted: &Counted, now: OffsetDateTime) -> Option<Duration> {
        (counted.attempts > u64::from(self.failures)).then(|| counted.over_at - now)
    }

    /// Until when the next attempt will be locked out; `None` when it will be compared.
    pub(crate) fn locked_until(
        &self,
        counted: &Counted,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let full = counted.attempts >= u64::from(self.failures) && counted.over_at > now;
        full.then_some(counted.over_at)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::secret_keys::tests::keys;
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    pub(crate) const START: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    /// What one statement does in the database, said again: `store::lockouts` is compared with it.
    pub(crate) fn count(
        before: Option<Counted>,
        lockout: &Lockout,
        now: OffsetDateTime,
    ) -> Counted {
        let over_at = now + lockout.duration;
        match before.filter(|before| before.over_at > now) {
            None => Counted {
                attempts: 1,
                over_at,
            },
            Some(before) => Counted {
                attempts: before.attempts + 1,
                over_at: if before.attempts < u64::from(lockout.failures) {
                    over_at
                } else {
                    before.over_at
                },
            },
        }
    }

    fn lockouts() -> impl Strategy<Value = Lockout> {
        (1..20u32, 1..3_600i64).prop_map(|(failures, seconds)| Lockout {
            failures,
            duration: Duration::seconds(seconds),
        })
    }

    proptest! {
        /// Whatever the pauses: never more than `failures` guesses pass without `duration` of rest before the next
        /// one, and nobody is told to come back later than that.
        #[test]
        fn after_so_many_guesses_comes_a_rest(
            lockout in lockouts(),
            pauses in prop::collection::vec(0..2_000i64, 1..200),
        ) {
            let (mut now, mut counted, mut passed) = (START, None, Vec::new());
            for pause in pauses {
                now += Duration::seconds(pause);
                let after = count(counted, &lockout, now);
                match lockout.locked_for(&after, now) {
                    None => passed.push(now),
                    Some(rest) => {
                        prop_assert!(rest.is_positive() && rest <= lockout.duration);
                        let last = *passed.last().expect("a lock follows guesses");
                        prop_assert_eq!(now + rest, last + lockout.duration);
                    }
                }
                counted = Some(after);
            }
            let most = usize::try_from(lockout.failures).expect("small");
            for run in passed.windows(most + 1) {
                let rested = run.windows(2).any(|two| two[1] - two[0] >= lockout.duration);
                prop_assert!(rested, "{run:?}");
            }
        }

        /// One person's spellings must not be several buckets.
        #[test]
        fn an_address_and_its_spellings_are_one_bucket(local in "[a-zA-Zé\u{212a}]{1,12}") {
            let keys = keys(&[1]);
            let text = format!(" {local}@Example.com\t");
            let address = EmailAddress::parse(&text).expect("an address");
            let bucket = Bucket::identifier(&keys, &text).mac;
            prop_assert_eq!(&bucket, &Bucket::identifier(&keys, address.normalised()).mac);
            prop_assert_eq!(&bucket, &Bucket::identifier(&keys, address.typed()).mac);
        }
    }

    #[test]
    fn every_thing_that_is_guessed_at_has_a_bucket_of_its_own() {
        let keys = keys(&[1]);
        let [ada, eve] = [1, 2].map(|number| UserId::new(Uuid::from_u128(number)));
        let [phone, laptop] = [3, 4].map(Uuid::from_u128);
        let address = EmailAddress::parse("ada@example.com").expect("an address");
        let macs = [
            Bucket::identifier(&keys, "ada@example.com"),
            Bucket::identifier(&keys, "no address"),
            Bucket::confirmation(&keys, &address),
            Bucket::device(&keys, ada, phone),
            Bucket::device(&keys, ada, laptop),
            Bucket::device(&keys, eve, phone),
            Bucket::session(&keys, ada, phone),
            Bucket::session(&keys, ada, laptop),
        ]
        .map(|bucket| bucket.mac);
        for (at, mac) in macs.iter().enumerate() {
            assert!(macs.iter().skip(at + 1).all(|other| other != mac), "{at}");
        }
    }
}
