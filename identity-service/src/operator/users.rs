//! `identity-service users …`: helping people who cannot help themselves.
//!
//! Every command leaves one line in the log, with ids alone. Running services need not be told: they ask the database.

use std::process::ExitCode;

use clap::Subcommand;
use shared::{clock::Clock, problem::Unexpected, service::StartError, user_id::UserId};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Identity, Settings,
    domain::{email_address::EmailAddress, lockout::Bucket},
    me,
    store::{accounts, lockouts, second_factors},
};

/// Help people with their accounts.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Let somebody log in again at once who has been locked out by failed attempts.
    Unlock {
        /// An e-mail address, or the id of a user (which takes the vault, to find the address).
        who: String,
    },
}

/// Why a subcommand failed.
#[derive(Debug, Error)]
enum UsersError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("nothing was changed: no account that may log in has this id")]
    UnknownUser,
    #[error("nothing was changed: {}", .0.chain())]
    Unexpected(#[from] Unexpected),
}

/// Whom a command is about. An address need not have an account: it can be locked all the same.
struct Somebody {
    identifier: Bucket,
    user_id: Option<UserId>,
}

impl UsersCommand {
    /// Does it, and says what was done. 0 when all is well, 78 for settings, 1 for anything else.
    pub async fn run(self, settings: Settings, clock: Clock) -> ExitCode {
        settings.install_telemetry();
        match self.outcome(settings, clock).await {
            Ok(done) => {
                eprintln!("{done}");
                ExitCode::SUCCESS
            }
            Err(UsersError::Start(StartError::Settings(problems))) => problems.report(),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    async fn outcome(self, settings: Settings, clock: Clock) -> Result<&'static str, UsersError> {
        let now = clock.now();
        let identity = Identity::new(settings, clock)?;
        match self {
            Self::Unlock { who } => unlock(&identity, &who, now).await,
        }
    }
}

async fn unlock(
    identity: &Identity,
    who: &str,
    now: OffsetDateTime,
) -> Result<&'static str, UsersError> {
    let Somebody {
        identifier,
        user_id,
    } = find(identity, who, now).await?;
    let db = identity.pool.get().await?;
    let mut lifted = u64::from(lockouts::clear(&*db, &identifier).await?);
    if let Some(user) = user_id {
        lifted += lockouts::clear_devices(&*db, user).await?;
        lifted += second_factors::forget_failures(&*db, user).await?;
    }
    let user_id = user_id.map(tracing::field::display);
    tracing::info!(user.id = user_id, lifted, "an operator unlocked a login");
    Ok(match lifted {
        0 => "No failed attempts were counted.",
        _ => "Failed attempts are forgotten: the next login is looked at.",
    })
}

async fn find(identity: &Identity, who: &str, now: OffsetDateTime) -> Result<Somebody, UsersError> {
    let (address, user_id) = if let Ok(id) = Uuid::parse_str(who) {
        let user = UserId::new(id);
        let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
        let profile = profile.ok_or(UsersError::UnknownUser)?;
        (me::address(identity, &profile, now).await?, Some(user))
    } else {
        (who.to_owned(), account_of(identity, who).await?)
    };
    Ok(Somebody {
        identifier: Bucket::identifier(&identity.secrets, &address),
        user_id,
    })
}

async fn account_of(identity: &Identity, who: &str) -> Result<Option<UserId>, Unexpected> {
    let Some(address) = EmailAddress::parse(who) else {
        return Ok(None);
    };
    let indexes = identity.secrets.email_indexes(&address);
    let found = accounts::credentials(&*identity.pool.get().await?, &indexes).await?;
    Ok(found.map(|credentials| credentials.user_id))
}
