//! The key that a person's journal is sealed under: stored wrapped, opened by the vault for as long as the
//! person is here to prove it.

use std::sync::Arc;

use shared::{
    access_token::Caller,
    envelope::DataKey,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    user_id::UserId,
    vault_client::{KeyOf, VaultError, WrappedKey},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{Journal, store};

/// What the journal's keys are for, as the vault's policy names it.
const PURPOSE: &str = "entries";
/// There is one generation of keys; records name theirs.
const GENERATION: u32 = 1;

/// Why there is no key to read or write with.
#[derive(Debug, Error)]
pub(crate) enum KeyError {
    /// The vault does not open the key for this person, or their entries have none. Logged where it was found.
    #[error("The key of this journal does not open; none of its entries can be read or written.")]
    Unreadable,
    /// The access token ended between our look at it and the vault's.
    #[error("The access token has expired.")]
    TokenExpired,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

pub(crate) const JOURNAL_UNREADABLE: Case =
    Case::new(409, "journal_unreadable", "The journal's key does not open");
pub(crate) const TOKEN_EXPIRED: Case =
    Case::new(401, "token_expired", "The access token has expired");

impl Failure for KeyError {
    const CASES: &'static [Case] = &[TOKEN_EXPIRED, JOURNAL_UNREADABLE, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Unreadable => &JOURNAL_UNREADABLE,
            Self::TokenExpired => &TOKEN_EXPIRED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::Unreadable | Self::TokenExpired => None,
        }
    }
}

/// The caller's stored key, still wrapped; `None` before their first entry.
pub(crate) async fn stored(
    db: &impl tokio_postgres::GenericClient,
    user: UserId,
) -> Result<Option<WrappedKey>, Unexpected> {
    store::data_keys::find(db, user, PURPOSE, GENERATION).await
}

/// The key that opens the caller's entries, from what [`stored`] found beside them.
pub(crate) async fn opened(
    journal: &Journal,
    caller: &Caller,
    stored: Option<WrappedKey>,
    now: OffsetDateTime,
) -> Result<Arc<DataKey>, KeyError> {
    let user = caller.user_id();
    let Some(wrapped) = stored else {
        tracing::error!(user.id = %user, "entries without a data key");
        return Err(KeyError::Unreadable);
    };
    let asked = journal
        .vault
        .unwrap(key_of(user), &wrapped, Some(caller.proof()), now);
    asked.await.map_err(|error| refused(user, error))
}

/// The key to write with. The first write of a person makes it: of two first writes at once, one key is stored
/// and both use that one, so that nothing is ever sealed under a key that is not there to read it.
pub(crate) async fn for_writing(
    journal: &Journal,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Arc<DataKey>, KeyError> {
    let user = caller.user_id();
    // No connection is held while the vault is asked.
    let known = stored(&*journal.pool.get().await?, user).await?;
    let wrapped = match known {
        Some(wrapped) => wrapped,
        None => create(journal, caller, now).await?,
    };
    opened(journal, caller, Some(wrapped), now).await
}

async fn create(
    journal: &Journal,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<WrappedKey, KeyError> {
    let user = caller.user_id();
    let asked = journal
        .vault
        .create(key_of(user), Some(caller.proof()), now);
    let (wrapped, _) = asked.await.map_err(|error| refused(user, error))?;
    let db = journal.pool.get().await?;
    store::data_keys::insert_first(&*db, user, (PURPOSE, GENERATION), &wrapped, now).await?;
    let stored = stored(&*db, user).await?;
    stored.ok_or_else(|| Unexpected::bug(format!("the new data key of {user} is gone")).into())
}

fn key_of(user: UserId) -> KeyOf {
    KeyOf {
        subject: user.uuid(),
        purpose: PURPOSE,
        generation: GENERATION,
    }
}

/// The vault's codes: of single requests, and of items of a batch.
fn refused(user: UserId, error: VaultError) -> KeyError {
    let VaultError::Refused(code) = &error else {
        return Unexpected::from(error).into();
    };
    match code.as_str() {
        "wrapped_key_refused" | "unknown_subject" | "slot_damaged" => {
            tracing::error!(user.id = %user, code, "the vault does not open a data key");
            KeyError::Unreadable
        }
        "user_token_expired" => KeyError::TokenExpired,
        // Everything else is about this service, not about the person: its certificate, its token, the policy.
        _ => Unexpected::from(error).into(),
    }
}
