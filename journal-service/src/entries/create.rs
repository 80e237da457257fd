//! A new entry.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
    user_id::UserId,
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
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError},
    domain::{
        content::{Content, Draft},
        entry::{Entry, EntryId},
        idempotency::{IdempotencyKey, Request},
        sealed_entry::SealedEntry,
    },
    store::{
        self, entry_revisions,
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
    let entry = Entry::new(content, now);
    let key = data_key::for_writing(journal, caller, now).await?;
    let sealed = SealedEntry::seal(&entry, caller.user_id(), &key);
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    let Some(name) = name else {
        return stored(&*db, user, (&entry, &sealed)).await.map(|()| entry);
    };
    let request = Request::of(&entry.content);
    let made = Made {
        id: entry.id.uuid(),
        request_sealed: request.seal(user, entry.id.uuid(), &key),
    };
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    if !idempotency_keys::claim(&transaction, user, &name.hash(), &made, now).await? {
        return repeated(&transaction, user, (&name, &request), &key).await;
    }
    stored(&transaction, user, (&entry, &sealed)).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(entry)
}

async fn stored(
    db: &impl GenericClient,
    user: UserId,
    (entry, sealed): (&Entry, &SealedEntry),
) -> Result<(), CreateError> {
    if !are_known(db, user, &entry.content).await? {
        return Err(CreateError::UnknownPillar);
    }
    if store::entries::insert(db, user, sealed).await? {
        return Ok(());
    }
    // Erased between the key and the entry.
    Err(KeyError::Closed.into())
}

/// What the request has made when it came first, as it was then.
async fn repeated(
    db: &impl GenericClient,
    user: UserId,
    (name, request): (&IdempotencyKey, &Request),
    key: &DataKey,
) -> Result<Entry, CreateError> {
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
