//! `identity-service keys …`: looking at the signing keys and changing them by hand.
//!
//! Only the database is changed. Running services look there every five seconds and follow by themselves.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Subcommand;
use shared::{postgres::Pool, problem::Unexpected, settings::Problems, vault_client::VaultClient};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Settings,
    domain::signing_key::published_until,
    operator::{
        audit::audit_keys,
        table::{moment, table, when},
    },
    rotate_keys::{Move, MoveError, move_on},
    store::signing_keys::{self as store, StoredKey},
};

/// Look at the keys that sign access tokens, and change them.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys, their states, and how long each is published.
    List,
    /// Let the next key sign from now on; tokens of the present one stay good until they end.
    Rotate {
        /// Withdraw this key as well: all its tokens are void within seconds here, within 70 seconds elsewhere.
        // One in 64 begins with a hyphen.
        #[arg(
            long,
            value_name = "KID",
            conflicts_with = "now",
            allow_hyphen_values = true
        )]
        revoke: Option<String>,
        /// Withdraw every key there is and make new ones: for when the service itself was broken into.
        #[arg(long)]
        now: bool,
    },
}

/// Why a subcommand failed.
#[derive(Debug, Error)]
enum KeysError {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("nothing was changed: no signing key has this kid (see `keys list`)")]
    UnknownKey,
    #[error("nothing was changed: {}", .0.chain())]
    Unexpected(#[from] Unexpected),
    #[error("cannot write the list: {0}")]
    Output(#[from] io::Error),
}

impl From<MoveError> for KeysError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::UnknownKey => Self::UnknownKey,
            MoveError::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

impl KeysCommand {
    /// Does it, and prints the keys as they are then. 0 when all is well, 78 for settings, 1 for anything else.
    pub async fn run(self, settings: Settings, now: OffsetDateTime) -> ExitCode {
        match self.outcome(settings, now).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(KeysError::Settings(problems)) => problems.report(),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    async fn outcome(self, settings: Settings, now: OffsetDateTime) -> Result<(), KeysError> {
        let pool = settings.service.pool()?;
        let (command, how) = match self {
            Self::List => return print(&stored(&pool).await?),
            Self::Rotate { now: true, .. } => ("keys rotate --now", Move::WithdrawAll),
            Self::Rotate {
                revoke: Some(kid), ..
            } => ("keys rotate --revoke", Move::Withdraw(kid)),
            Self::Rotate { .. } => ("keys rotate", Move::Early),
        };
        settings.install_command_log();
        let vault = VaultClient::new(settings.vault);
        let before = stored(&pool).await?;
        let keys = move_on(&pool, &vault, &how, now).await?;
        let is_named = |key: &&StoredKey| matches!(&how, Move::Withdraw(kid) if key.kid == *kid);
        let named = before.iter().find(is_named);
        audit_keys(command, named.map(|key| key.key_id));
        print(&keys)
    }
}

async fn stored(pool: &Pool) -> Result<Vec<StoredKey>, Unexpected> {
    store::all(&*pool.get().await?).await
}

fn print(keys: &[StoredKey]) -> Result<(), KeysError> {
    Ok(io::stdout().write_all(readable(keys).as_bytes())?)
}

/// One line for each key.
fn readable(keys: &[StoredKey]) -> String {
    let rows = keys.iter().map(|key| {
        [
            key.kid.clone(),
            key.state.name().to_owned(),
            when(moment(Some(key.created_at)).as_deref()),
            when(moment(key.activated_at).as_deref()),
            when(moment(key.retired_at.map(published_until)).as_deref()),
        ]
    });
    table(
        ["KID", "STATE", "CREATED", "SIGNS SINCE", "PUBLISHED UNTIL"],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(subcommand)]
        command: KeysCommand,
    }

    #[test]
    fn a_kid_may_begin_with_a_hyphen() {
        let kid = "-RjAKSdnbwx46PAzTN1wO5DcZJFerBFrItgxHd82wMz8";
        let parsed = Program::try_parse_from(["keys", "rotate", "--revoke", kid]);
        let parsed = parsed.expect("a command").command;
        let KeysCommand::Rotate { revoke, now } = parsed else {
            panic!("{parsed:?}");
        };
        assert_eq!((revoke.as_deref(), now), (Some(kid), false));
    }
}
