//! Whoever guesses is counted first, and only then may anything be compared.
//!
//! A use case that compares a guess (a password, a code) chooses its [`Bucket`], calls [`admit`] before the compare
//! and [`clear`] after everything that a wrong guess would not have come through. `/login` clears its bucket when the
//! password was right and the account may log in, although a second factor may still be asked for: whoever knows the
//! password needs no guesses at it. Codes are counted with
//! the authenticator, and only a right one clears that count ([`crate::second_factor`]).

use std::time::Duration;

use shared::problem::{Case, Failure, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{Identity, domain::lockout::Bucket, store::lockouts};

/// Too many guesses. Whether anything is there to be guessed, and whether this one was right, is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("There were too many failed attempts. Try again later.")]
pub(crate) struct Locked {
    /// How much longer.
    pub(crate) remaining: time::Duration,
}

pub(crate) const TOO_MANY_ATTEMPTS: Case = Case::new(
    429,
    "too_many_attempts",
    "There were too many failed attempts",
);

impl Failure for Locked {
    const CASES: &'static [Case] = &[TOO_MANY_ATTEMPTS];

    fn case(&self) -> &'static Case {
        &TOO_MANY_ATTEMPTS
    }

    fn retry_after(&self) -> Option<Duration> {
        self.remaining.try_into().ok()
    }
}

/// Why a guess is not looked at.
#[derive(Debug, Error)]
pub(crate) enum NotAdmitted {
    #[error(transparent)]
    Locked(#[from] Locked),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Counts an attempt as failed, until [`clear`] says otherwise.
pub(crate) async fn admit(
    identity: &Identity,
    bucket: &Bucket,
    now: OffsetDateTime,
) -> Result<(), NotAdmitted> {
    let lockout = &identity.lockout;
    let counted = {
        let db = identity.pool.get().await?;
        lockouts::count(&*db, bucket, lockout, now).await?
    };
    let Some(remaining) = lockout.locked_for(&counted, now) else {
        return Ok(());
    };
    // Once for each lock, and without saying whose: nobody may be there.
    if counted.attempts == u64::from(lockout.failures) + 1 {
        tracing::warn!(
            seconds = remaining.whole_seconds(),
            "too many failed attempts: locked"
        );
    }
    Err(Locked { remaining }.into())
}

/// Forgets the failures before a success, which does not fail because of it.
pub(crate) async fn clear(identity: &Identity, bucket: &Bucket) {
    let cleared = async { lockouts::clear(&*identity.pool.get().await?, bucket).await };
    if let Err(error) = cleared.await {
        tracing::warn!(error = error.chain(), "failed attempts are not forgotten");
    }
}

/// Takes back an attempt that was counted and never compared.
pub(crate) async fn take_back(identity: &Identity, bucket: &Bucket) {
    let taken = async { lockouts::uncount(&*identity.pool.get().await?, bucket).await };
    if let Err(error) = taken.await {
        tracing::warn!(
            error = error.chain(),
            "an attempt that was not made stays counted"
        );
    }
}
