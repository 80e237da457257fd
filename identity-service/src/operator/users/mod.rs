//! `identity-service users …`: helping people who cannot help themselves, and stopping those who should be stopped.
//!
//! Answers go to standard output, everything else to standard error: what was done, and one line of the log for the
//! audit, with ids alone. Running services need not be told: they ask the database.

mod delete;
mod disable;
mod list;
mod require_reset;
mod restore;
mod show;
mod unlock;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Subcommand, value_parser};
use shared::{clock::Clock, problem::Unexpected, service::StartError, user_id::UserId};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Identity, Settings, domain::email_address::EmailAddress, erasure::NotUndone,
    hashing::Overloaded, operator::audit::audit, store::accounts,
};

/// Nobody has that id or address (`EX_NOUSER` of sysexits.h).
const NO_USER: u8 = 67;

/// Help people with their accounts.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List accounts without their addresses, those that were signed up for last first.
    List {
        /// Accounts at most.
        #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only accounts further down the list than this id.
        #[arg(long, value_name = "ID")]
        after: Option<UserId>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one account: its address, its sessions, what is counted against it, what happened to it of late.
    Show {
        /// An e-mail address, or the id of a user.
        who: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Close an account: no login, no refresh, no reset, and every session ends.
    Disable {
        /// An e-mail address, or the id of a user.
        who: String,
    },
    /// Open an account again. What ended stays ended: its owner logs in anew.
    Enable {
        /// An e-mail address, or the id of a user.
        who: String,
    },
    /// Make the password of an account void, end every session, and mail its owner a token to choose another one.
    RequireReset {
        /// An e-mail address, or the id of a user.
        who: String,
    },
    /// Delete an account, as its person can: it is closed at once, and gone for good when the wait is over.
    Delete {
        /// An e-mail address, or the id of a user.
        who: String,
    },
    /// Undo the deletion of an account while there is time. Its sessions stay ended.
    Restore {
        /// The id of the user: the account has no address.
        id: UserId,
    },
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
    #[error("nothing was changed: no account has this id or address")]
    UnknownUser,
    #[error("not undone: {0}")]
    NotUndone(#[from] NotUndone),
    #[error("nothing was changed: {0}")]
    Overloaded(#[from] Overloaded),
    #[error("nothing was changed: {}", .0.chain())]
    Unexpected(#[from] Unexpected),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// What a command has to say.
struct Outcome {
    /// The answer, for standard output.
    answer: String,
    /// A word to whoever sits there, for standard error.
    note: Option<String>,
}

impl Outcome {
    /// Something was done, or was done already.
    fn done(note: &str) -> Self {
        Self {
            answer: String::new(),
            note: Some(note.to_owned()),
        }
    }
}

impl UsersCommand {
    /// Does it, and says what was done. 0 when all is well, 67 when nobody is meant, 78 for settings, 1 for anything
    /// else.
    pub async fn run(self, settings: Settings, clock: Clock) -> ExitCode {
        settings.install_command_log();
        match self.outcome(settings, clock).await.and_then(print) {
            Ok(()) => ExitCode::SUCCESS,
            Err(UsersError::Start(StartError::Settings(problems))) => problems.report(),
            Err(error) => {
                eprintln!("{error}");
                match error {
                    UsersError::UnknownUser => ExitCode::from(NO_USER),
                    _ => ExitCode::FAILURE,
                }
            }
        }
    }

    async fn outcome(self, settings: Settings, clock: Clock) -> Result<Outcome, UsersError> {
        let now = clock.now();
        let identity = Identity::new(settings, clock)?;
        match self {
            Self::List { limit, after, json } => list::list(&identity, limit, after, json).await,
            Self::Show { who, json } => show::show(&identity, &who, json, now).await,
            Self::Disable { who } => disable::disable(&identity, &who, now).await,
            Self::Enable { who } => disable::enable(&identity, &who, now).await,
            Self::RequireReset { who } => require_reset::require_reset(&identity, &who, now).await,
            Self::Delete { who } => delete::delete(&identity, &who, now).await,
            Self::Restore { id } => restore::restore(&identity, id, now).await,
            Self::Unlock { who } => unlock::unlock(&identity, &who, now).await,
        }
    }
}

fn print(outcome: Outcome) -> Result<(), UsersError> {
    io::stdout().write_all(outcome.answer.as_bytes())?;
    if let Some(note) = outcome.note {
        eprintln!("{note}");
    }
    Ok(())
}

/// The account that a command is about.
async fn find(identity: &Identity, who: &str) -> Result<UserId, UsersError> {
    let found = match Uuid::parse_str(who) {
        Ok(id) => {
            let db = identity.pool.get().await?;
            let credentials = accounts::credentials_of(&*db, UserId::new(id)).await?;
            credentials.map(|it| it.user_id)
        }
        Err(_) => account_of(identity, who).await?,
    };
    found.ok_or(UsersError::UnknownUser)
}

/// The account of an address.
async fn account_of(identity: &Identity, who: &str) -> Result<Option<UserId>, Unexpected> {
    let Some(address) = EmailAddress::parse(who) else {
        return Ok(None);
    };
    let indexes = identity.secrets.email_indexes(&address);
    let found = accounts::credentials(&*identity.pool.get().await?, &indexes).await?;
    Ok(found.map(|credentials| credentials.user_id))
}
