//! The key that a person's journal is sealed under: stored wrapped, opened by the vault for as long as the
//! person is here to prove it.

use std::sync::Arc;

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    user_id::UserId,
    vault_client::{KeyOf, VaultError, WrappedKey},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Journal,
    store::{closed_journals, data_keys},
};

pub(crate) use crate::store::data_keys::Stored;

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
    /// The account is being deleted, or has been.
    #[error("The account is closed; nothing of this journal can be read or written.")]
    Closed,
    /// The vault does not take the access token that we took: it knew before us that its key was withdrawn.
    #[error("The access token is no longer valid.")]
    TokenRefused,
    /// The access token ended between our look at it and the vault's.
    #[error("The access token has expired.")]
    TokenExpired,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

pub(crate) const JOURNAL_UNREADABLE: Case =
    Case::new(409, "journal_unreadable", "The journal's key does not open");
pub(crate) const ACCOUNT_CLOSED: Case = Case::new(410, "account_closed", "The account is closed");

impl Failure for KeyError {
    const CASES: &'static [Case] = &[
        INVALID,
        EXPIRED,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Unreadable => &JOURNAL_UNREADABLE,
            Self::Closed => &ACCOUNT_CLOSED,
            Self::TokenRefused => &INVALID,
            Self::TokenExpired => &EXPIRED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::Unreadable | Self::Closed | Self::TokenRefused | Self::TokenExpired => None,
        }
    }
}

/// The caller's stored key, still wrapped, if they have one and may use it.
pub(crate) async fn stored(
    db: &impl tokio_postgres::GenericClient,
    user: UserId,
) -> Result<Stored, Unexpected> {
    data_keys::find(db, user, PURPOSE, GENERATION).await
}

/// The key that opens the caller's entries, from what [`stored`] found beside them.
pub(crate) async fn opened(
    journal: &Journal,
    caller: &Caller,
    stored: Stored,
    now: OffsetDateTime,
) -> Result<Arc<DataKey>, KeyError> {
    let wrapped = wrapped_key(caller.user_id(), stored)?;
    open_wrapped(journal, caller, &wrapped, now).await
}

fn wrapped_key(user: UserId, stored: Stored) -> Result<WrappedKey, KeyError> {
    match stored {
        Stored::Key(wrapped) => Ok(wrapped),
        Stored::Closed => Err(KeyError::Closed),
        Stored::Nothing => {
            tracing::error!(user.id = %user, "entries without a data key");
            Err(KeyError::Unreadable)
        }
    }
}

async fn open_wrapped(
    journal: &Journal,
    caller: &Caller,
    wrapped: &WrappedKey,
    now: OffsetDateTime,
) -> Result<Arc<DataKey>, KeyError> {
    let user = caller.user_id();
    let asked = journal
        .vault
        .unwrap(key_of(user), wrapped, Some(caller.proof()), now);
    asked.await.map_err(|error| refused(user, error))
}

/// A key to write with, and the bytes that it was wrapped in.
pub(crate) struct WritingKey {
    pub(crate) key: Arc<DataKey>,
    pub(crate) wrapped: WrappedKey,
}

/// The caller's key, if it is in memory. What is sealed under it counts only beside the same bytes in the database: it may have
/// been erased there, or wrapped anew.
pub(crate) async fn at_hand(journal: &Journal, caller: &Caller) -> Option<WritingKey> {
    let (wrapped, key) = journal.vault.at_hand(key_of(caller.user_id())).await?;
    Some(WritingKey { key, wrapped })
}

/// The key to write with. The first write of a person makes it: of two first writes at once, one key is stored
/// and both use that one, so that nothing is ever sealed under a key that is not there to read it.
pub(crate) async fn for_writing(
    journal: &Journal,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<WritingKey, KeyError> {
    let user = caller.user_id();
    // No connection is held while the vault is asked.
    let known = stored(&*journal.pool.get().await?, user).await?;
    let known = match known {
        Stored::Nothing => create(journal, caller, now).await?,
        known => known,
    };
    let wrapped = wrapped_key(user, known)?;
    let key = open_wrapped(journal, caller, &wrapped, now).await?;
    Ok(WritingKey { key, wrapped })
}

async fn create(
    journal: &Journal,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Stored, KeyError> {
    let user = caller.user_id();
    let asked = journal
        .vault
        .create(key_of(user), Some(caller.proof()), now);
    let (wrapped, _) = asked.await.map_err(|error| refused(user, error))?;
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // A journal that is being closed at this moment gets no key any more, or is closed after it has got one.
    closed_journals::lock(&transaction, user).await?;
    if closed_journals::is_closed(&transaction, user).await? {
        return Err(KeyError::Closed);
    }
    data_keys::insert_first(&transaction, user, (PURPOSE, GENERATION), &wrapped, now).await?;
    let stored = stored(&transaction, user).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(stored)
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
        "wrapped_key_refused" | "unknown_subject" | "slot_damaged" | "master_key_destroyed" => {
            tracing::error!(user.id = %user, code, "the vault does not open a data key");
            KeyError::Unreadable
        }
        "shred_pending" | "shredded" => KeyError::Closed,
        "user_token_expired" => KeyError::TokenExpired,
        "invalid_user_token" | "wrong_token_type" => KeyError::TokenRefused,
        // Everything else is about this service, not about the person: its certificate, its token, the policy.
        _ => Unexpected::from(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use shared::random;

    use super::*;

    #[test]
    fn what_the_vault_says_of_a_person_s_key_is_told_and_what_it_says_of_us_is_not() {
        for (code, told) in [
            ("wrapped_key_refused", "journal_unreadable"),
            ("unknown_subject", "journal_unreadable"),
            ("slot_damaged", "journal_unreadable"),
            ("master_key_destroyed", "journal_unreadable"),
            ("shred_pending", "account_closed"),
            ("shredded", "account_closed"),
            ("user_token_expired", EXPIRED.code),
            ("invalid_user_token", INVALID.code),
            ("wrong_token_type", INVALID.code),
            ("not_allowed", INTERNAL.code),
            ("user_token_required", INTERNAL.code),
            ("user_token_mismatch", INTERNAL.code),
            ("certificate_mismatch", INTERNAL.code),
            ("invalid_service_token", INTERNAL.code),
        ] {
            let user = UserId::new(random::uuid_v7(OffsetDateTime::UNIX_EPOCH));
            let refused = refused(user, VaultError::Refused(code.to_owned()));
            assert_eq!(refused.case().code, told, "{code}");
        }
    }
}
