//! Showing a second factor: a code of the authenticator, or a recovery code.
//!
//! Whatever it is shown for, it is compared here: under a lock on the person's authenticator, where wrong ones are
//! counted, and where a right one is used up in the transaction of what it allows.

use secrecy::SecretString;
use shared::{
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::{
    Identity,
    device::Sighting,
    domain::{
        amr::Amr,
        code_guessing::wait_after,
        event::Event,
        notice::Notice,
        recovery_code::RecoveryCode,
        sealed::Column,
        totp::{TotpCode, TotpSecret},
    },
    events,
    lockout::{Locked, TOO_MANY_ATTEMPTS},
    notices, person_key,
    store::second_factors::{self, Factor},
};

pub(crate) const NOT_ENABLED: Case = Case::new(409, "mfa_not_enabled", "There is no second factor");
pub(crate) const SECOND_FACTOR_REQUIRED: Case = Case::new(
    403,
    "second_factor_required",
    "The account has a second factor, and it was not shown",
);
pub(crate) const UNREADABLE: Case = Case::new(
    409,
    "second_factor_unreadable",
    "The authenticator's secret does not open",
);
pub(crate) const WRONG_CODE: Case = Case::new(403, "wrong_code", "The code is wrong or was used");

/// What a person shows besides their password.
pub(crate) enum Proof {
    Totp(TotpCode),
    RecoveryCode(RecoveryCode),
}

impl Proof {
    /// Reads what a request carries: one of the two.
    pub(crate) fn parse(
        code: Option<&SecretString>,
        recovery_code: Option<&SecretString>,
    ) -> Result<Self, NotShown> {
        match (code, recovery_code) {
            (Some(code), None) => Self::totp(code),
            (None, Some(code)) => RecoveryCode::parse(code)
                .map(Self::RecoveryCode)
                .ok_or_else(|| FieldError::body("recovery_code", "is no recovery code").into()),
            _ => Err(FieldError::new("#", "has to have either code or recovery_code").into()),
        }
    }

    /// Reads a code where only an authenticator's will do.
    pub(crate) fn totp(code: &SecretString) -> Result<Self, NotShown> {
        TotpCode::parse(code)
            .map(Self::Totp)
            .ok_or_else(|| FieldError::body("code", "is not six digits").into())
    }

    /// How a person has proven who they are who has shown this after their password.
    pub(crate) fn amr(&self) -> Amr {
        match self {
            Self::Totp(_) => Amr::PasswordAndTotp,
            Self::RecoveryCode(_) => Amr::PasswordAndRecoveryCode,
        }
    }
}

/// Which authenticator of a person is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one that logging in needs.
    Confirmed,
    /// The one that was offered at this moment or later.
    OfferedSince(OffsetDateTime),
}

impl Wanted {
    fn is(self, factor: &Factor) -> bool {
        match self {
            Self::Confirmed => factor.confirmed,
            Self::OfferedSince(moment) => !factor.confirmed && factor.created_at >= moment,
        }
    }
}

/// A proof that can be compared at once: its authenticator's secret is open.
pub(crate) struct Ready {
    user_id: UserId,
    factor_id: Uuid,
    wanted: Wanted,
    means: Means,
}

enum Means {
    Totp { secret: TotpSecret, code: TotpCode },
    RecoveryCode(RecoveryCode),
}

/// Why a second factor was not shown. Each use case lists what of it can happen there.
#[derive(Debug, Error)]
pub(crate) enum NotShown {
    /// There is no such authenticator, or it has been replaced, confirmed or removed meanwhile.
    #[error("There is no second factor.")]
    Absent,
    /// The account has one, and none was sent.
    #[error("Send a code of the authenticator, or a recovery code, too.")]
    Required,
    #[error("The code is wrong, or it was used before.")]
    Wrong,
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    /// Nothing was compared, and nothing will be for so long.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The authenticator's secret does not open: somebody changed the row.
    #[error("Use a recovery code, or set up the authenticator again.")]
    Unreadable,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl From<FieldError> for NotShown {
    fn from(error: FieldError) -> Self {
        Self::Invalid(error)
    }
}

impl Failure for NotShown {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        NOT_ENABLED,
        SECOND_FACTOR_REQUIRED,
        WRONG_CODE,
        UNREADABLE,
        TOO_MANY_ATTEMPTS,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Absent => &NOT_ENABLED,
            Self::Required => &SECOND_FACTOR_REQUIRED,
            Self::Wrong => &WRONG_CODE,
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Locked(locked) => locked.case(),
            Self::Unreadable => &UNREADABLE,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Locked(locked) => locked.retry_after(),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(error) => vec![error.clone()],
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// Opens the secret that a code is compared with. Asks the vault, so it comes before the transaction; an outage
/// counts as no failure.
pub(crate) async fn prepare(
    identity: &Identity,
    user_id: UserId,
    wanted: Wanted,
    proof: Proof,
    now: OffsetDateTime,
) -> Result<Ready, NotShown> {
    let found = second_factors::find(&*identity.pool.get().await?, user_id).await?;
    let factor = found.filter(|factor| wanted.is(factor));
    let factor = factor.ok_or(NotShown::Absent)?;
    let means = match proof {
        Proof::Totp(code) => Means::Totp {
            secret: opened(identity, user_id, &factor, now).await?,
            code,
        },
        // The way in while the vault is away.
        Proof::RecoveryCode(code) => Means::RecoveryCode(code),
    };
    Ok(Ready {
        user_id,
        factor_id: factor.id,
        wanted,
        means,
    })
}

/// Ends the transaction in which a second factor was shown: what was wrong has been counted, and stays so.
pub(crate) async fn conclude<T>(
    transaction: Transaction<'_>,
    shown: Result<T, NotShown>,
) -> Result<T, NotShown> {
    if !matches!(shown, Err(NotShown::Unexpected(_))) {
        transaction.commit().await.map_err(Unexpected::from)?;
    }
    shown
}

async fn opened(
    identity: &Identity,
    user_id: UserId,
    factor: &Factor,
    now: OffsetDateTime,
) -> Result<TotpSecret, NotShown> {
    let key = match person_key::opened(identity, user_id, now).await {
        Err(error) if error.is_unreadable() => return Err(NotShown::Unreadable),
        key => key?.ok_or(NotShown::Absent)?,
    };
    let place = Column::TotpSecret.of(user_id.uuid(), factor.id);
    let secret = key.open(&place, &factor.secret_sealed).ok();
    let secret = secret.and_then(|bytes| TotpSecret::from_bytes(&bytes));
    secret.ok_or_else(|| {
        tracing::error!(user.id = %user_id, factor.id = %factor.id, "a TOTP secret does not open");
        NotShown::Unreadable
    })
}

impl Ready {
    /// Compares, counts, and uses up what is right. [`conclude`] ends the transaction, whatever came of it.
    pub(crate) async fn show(
        &self,
        identity: &Identity,
        db: &impl GenericClient,
        sighting: &Sighting,
        now: OffsetDateTime,
    ) -> Result<(), NotShown> {
        let found = second_factors::find_and_lock(db, self.user_id).await?;
        let same = |factor: &Factor| factor.id == self.factor_id && self.wanted.is(factor);
        let Some(factor) = found.filter(same) else {
            return Err(NotShown::Absent);
        };
        let rest = factor.locked_until.map(|until| until - now);
        if let Some(remaining) = rest.filter(|rest| rest.is_positive()) {
            return Err(NotShown::Locked(Locked { remaining }));
        }
        if self.is_right(identity, db, now).await? {
            second_factors::count_failures(db, factor.id, 0, None).await?;
            if matches!(self.means, Means::RecoveryCode(_)) {
                events::record(db, sighting, Event::RecoveryCodeUsed, now).await?;
            }
            return Ok(());
        }
        let failures = factor.failures.saturating_add(1);
        let locked_until = wait_after(failures).map(|wait| now + wait);
        if locked_until.is_some() {
            notices::queue(db, sighting, Notice::SecondFactorGuessed, now).await?;
        }
        second_factors::count_failures(db, factor.id, failures, locked_until).await?;
        events::record(db, sighting, Event::SecondFactorFailed, now).await?;
        Err(NotShown::Wrong)
    }

    async fn is_right(
        &self,
        identity: &Identity,
        db: &impl GenericClient,
        now: OffsetDateTime,
    ) -> Result<bool, Unexpected> {
        match &self.means {
            Means::Totp { secret, code } => match secret.step_of(code, now) {
                Some(step) => second_factors::spend_step(db, self.factor_id, step).await,
                None => Ok(false),
            },
            Means::RecoveryCode(code) => {
                let hashes = identity.secrets.recovery_hashes(self.user_id, code);
                second_factors::spend_recovery_code(db, self.user_id, &hashes).await
            }
        }
    }

    pub(crate) fn factor_id(&self) -> Uuid {
        self.factor_id
    }
}
