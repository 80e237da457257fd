//! A new entry.

use std::time::Duration;

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
    vault_client::WrappedKey,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;

use super::{
    open,
    pillars::{are_known, with_known},
    refusals::UNKNOWN_PILLAR,
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, WritingKey},
    domain::{
        content::{Content, Draft},
        entry::{Entry, EntryId},
        idempotency::{IdempotencyKey, Request},
        sealed_entry::SealedEntry,
    },
    store::{
        self, closed_journals, entry_revisions,
        idempotency_keys::{self, Made},
    },
};

#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("Another request was called so; call each one otherwise.")]
    KeyReused,
    #[error("It was made, and has been deleted, or edited too often to be shown as it was.")]
    Gone,
    #[error("Name only pillars of your own that are still there.")]
    UnknownPillar,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl CreateError {
    /// A header that cannot be read.
    pub(crate) fn header(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}

pub(crate) const KEY_REUSED: Case = Case::new(
    409,
    "idempotency_key_reused",
    "Another request had this Idempotency-Key",
);
const ENTRY_GONE: Case = Case::new(
    409,
    "entry_gone",
    "What this request made is not there any more",
);

impl Failure for CreateError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        KEY_REUSED,
        ENTRY_GONE,
        UNKNOWN_PILLAR,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::KeyReused => &KEY_REUSED,
            Self::Gone => &ENTRY_GONE,
            Self::UnknownPillar => &UNKNOWN_PILLAR,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid(errors) => errors.clone(),
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Invalid(_) | Self::KeyReused | Self::Gone | Self::UnknownPillar => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Looks at a key that turned out not to be what is stored. It is wrapped anew once in a rotation.
const TRIES: usize = 4;
/// When to come again if it always was.
const RETRY: Duration = Duration::from_secs(1);

/// Seals and stores a draft as the first revision of a new entry. A request that names itself makes one entry, however often
/// it comes.
pub(crate) async fn create(
    journal: &Journal,
    caller: &Caller,
    draft: Draft,
    name: Option<IdempotencyKey>,
    now: OffsetDateTime,
) -> Result<Entry, CreateError> {
    let content = Content::parse(draft).map_err(CreateError::Invalid)?;
    let new = New {
        user: caller.user_id(),
        entry: Entry::new(content, now),
        name,
        now,
    };
    // One question less for the database, which sees whether the key in memory is still the one that it has.
    if let Some(key) = data_key::at_hand(journal, caller).await
        && let Some(stored) = new.store(journal, &key).await?
    {
        return Ok(stored.or(new));
    }
    for _ in 0..TRIES {
        let key = data_key::for_writing(journal, caller, now).await?;
        if let Some(stored) = new.store(journal, &key).await? {
            return Ok(stored.or(new));
        }
    }
    Err(Unexpected::unavailable("the key is always another one", RETRY).into())
}

/// What is to be stored.
struct New {
    user: UserId,
    entry: Entry,
    name: Option<IdempotencyKey>,
    now: OffsetDateTime,
}

enum Stored {
    Now,
    /// When the request came first, which made this.
    Before(Entry),
}

impl Stored {
    fn or(self, new: New) -> Entry {
        match self {
            Self::Now => new.entry,
            Self::Before(entry) => entry,
        }
    }
}

impl New {
    /// `None` when it is not this key that is stored.
    async fn store(
        &self,
        journal: &Journal,
        beside: &WritingKey,
    ) -> Result<Option<Stored>, CreateError> {
        let WritingKey { key, wrapped } = beside;
        let sealed = (SealedEntry::seal(&self.entry, self.user, key), wrapped);
        let mut db = journal.pool.get().await?;
        let Some(name) = &self.name else {
            let is_stored = self.insert(&*db, sealed).await?;
            return Ok(is_stored.then_some(Stored::Now));
        };
        let request = Request::of(&self.entry.content);
        let id = self.entry.id.uuid();
        let made = Made {
            id,
            request_sealed: request.seal(self.user, id, key),
        };
        let transaction = db.transaction().await.map_err(Unexpected::from)?;
        if !idempotency_keys::claim(&transaction, self.user, &name.hash(), &made, self.now).await? {
            let before = repeated(&transaction, self.user, (name, &request), key).await?;
            return Ok(Some(Stored::Before(before)));
        }
        if !self.insert(&transaction, sealed).await? {
            return Ok(None);
        }
        transaction.commit().await.map_err(Unexpected::from)?;
        Ok(Some(Stored::Now))
    }

    async fn insert(
        &self,
        db: &impl GenericClient,
        (sealed, beside): (SealedEntry, &WrappedKey),
    ) -> Result<bool, CreateError> {
        if !are_known(db, self.user, &self.entry.content).await? {
            // The key in memory says nothing of that, and there is no pillar in a journal that has been erased.
            refuse_closed(db, self.user).await?;
            return Err(CreateError::UnknownPillar);
        }
        Ok(store::entries::insert(db, self.user, &sealed, beside).await?)
    }
}

async fn refuse_closed(db: &impl GenericClient, user: UserId) -> Result<(), KeyError> {
    if closed_journals::is_closed(db, user).await? {
        return Err(KeyError::Closed);
    }
    Ok(())
}

/// What the request has made when it came first, as it was then.
async fn repeated(
    db: &impl GenericClient,
    user: UserId,
    (name, request): (&IdempotencyKey, &Request),
    key: &DataKey,
) -> Result<Entry, CreateError> {
    refuse_closed(db, user).await?;
    let made = idempotency_keys::find(db, user, &name.hash()).await?;
    // One that was changed in the database is another request, too.
    let before = Request::open(&made.request_sealed, user, made.id, key);
    if before.as_ref() != Some(request) {
        return Err(CreateError::KeyReused);
    }
    let first = entry_revisions::first(db, user, EntryId::new(made.id)).await?;
    let first = first.ok_or(CreateError::Gone)?;
    let first = open(&first, user, key).map_err(|_| CreateError::Gone)?;
    Ok(with_known(db, user, first).await?)
}
