//! Showing a second factor: a code of the authenticator, or a recovery code.
//!
//! Whatever it is shown for, it is compared here: under a lock on the person's authenticator, where wrong ones are
//! counted, and where a right one is used up in the transaction of what it allows.

use secrecy::SecretString;
use shared::{
    problem::{Case, FieldError, Unexpected},
    user_id::UserId,
};
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
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
    lockout::Locked,
    notices, person_key,
    store::second_factors::{self, Factor},
};

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
    ) -> Result<Self, FieldError> {
        match (code, recovery_code) {
            (Some(code), None) => Self::totp(code),
            (None, Some(code)) => RecoveryCode::parse(code)
                .map(Self::RecoveryCode)
                .ok_or_else(|| FieldError::body("recovery_code", "is no recovery code")),
            _ => Err(FieldError::new(
                "#",
                "has to have either code or recovery_code",
            )),
        }
    }

    /// Reads a code where only an authenticator's will do.
    pub(crate) fn totp(code: &SecretString) -> Result<Self, FieldError> {
        TotpCode::parse(code)
            .map(Self::Totp)
            .ok_or_else(|| FieldError::body("code", "is not six digits"))
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

/// Why nothing can be compared.
pub(crate) enum NotReady {
    /// The person has no such authenticator.
    None,
    /// Its secret does not open: somebody changed the row.
    Unreadable,
    Unexpected(Unexpected),
}

/// What a comparison came to. All but `Right` leave everything else as it was.
pub(crate) enum Shown {
    /// It is used up.
    Right,
    Wrong,
    /// Nothing was compared, and nothing will be for so long.
    Locked(Locked),
    /// The authenticator has been replaced, confirmed or removed meanwhile.
    Gone,
}

/// Opens the secret that a code is compared with. Asks the vault, so it comes before the transaction; an outage
/// counts as no failure.
pub(crate) async fn prepare(
    identity: &Identity,
    user_id: UserId,
    wanted: Wanted,
    proof: Proof,
    now: OffsetDateTime,
) -> Result<Ready, NotReady> {
    let found = second_factors::find(&*identity.pool.get().await?, user_id).await?;
    let factor = found.filter(|factor| wanted.is(factor));
    let factor = factor.ok_or(NotReady::None)?;
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

async fn opened(
    identity: &Identity,
    user_id: UserId,
    factor: &Factor,
    now: OffsetDateTime,
) -> Result<TotpSecret, NotReady> {
    let key = match person_key::opened(identity, user_id, now).await {
        Err(error) if error.is_unreadable() => return Err(NotReady::Unreadable),
        key => key?.ok_or(NotReady::None)?,
    };
    let place = Column::TotpSecret.of(user_id.uuid(), factor.id);
    let secret = key.open(&place, &factor.secret_sealed).ok();
    let secret = secret.and_then(|bytes| TotpSecret::from_bytes(&bytes));
    secret.ok_or_else(|| {
        tracing::error!(user.id = %user_id, factor.id = %factor.id, "a TOTP secret does not open");
        NotReady::Unreadable
    })
}

impl Ready {
    /// Compares, counts, and uses up what is right. The transaction has to be committed whatever came of it.
    pub(crate) async fn show(
        &self,
        identity: &Identity,
        db: &impl GenericClient,
        sighting: &Sighting,
        now: OffsetDateTime,
    ) -> Result<Shown, Unexpected> {
        let found = second_factors::find_and_lock(db, self.user_id).await?;
        let same = |factor: &Factor| factor.id == self.factor_id && self.wanted.is(factor);
        let Some(factor) = found.filter(same) else {
            return Ok(Shown::Gone);
        };
        let rest = factor.locked_until.map(|until| until - now);
        if let Some(remaining) = rest.filter(|rest| rest.is_positive()) {
            return Ok(Shown::Locked(Locked { remaining }));
        }
        if self.is_right(identity, db, now).await? {
            second_factors::count_failures(db, factor.id, 0, None).await?;
            if matches!(self.means, Means::RecoveryCode(_)) {
                events::record(db, sighting, Event::RecoveryCodeUsed, now).await?;
            }
            return Ok(Shown::Right);
        }
        let failures = factor.failures.saturating_add(1);
        let locked_until = wait_after(failures).map(|wait| now + wait);
        if locked_until.is_some() {
            notices::queue(db, sighting, Notice::SecondFactorGuessed, now).await?;
        }
        second_factors::count_failures(db, factor.id, failures, locked_until).await?;
        events::record(db, sighting, Event::SecondFactorFailed, now).await?;
        Ok(Shown::Wrong)
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

impl From<Unexpected> for NotReady {
    fn from(unexpected: Unexpected) -> Self {
        Self::Unexpected(unexpected)
    }
}
