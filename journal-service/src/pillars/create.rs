//! A new pillar.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::Transaction;

use super::{Shown, position};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError},
    domain::{
        idempotency::{IdempotencyKey, Request},
        pillar::{PILLARS, Pillar, PillarContent, PillarDraft, PillarId},
        sealed_pillar::SealedPillar,
    },
    entries::create::KEY_REUSED,
    store::{
        self, data_keys,
        idempotency_keys::{self, Made},
    },
};

#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("Another request was called so; call each one otherwise.")]
    KeyReused,
    #[error("It was made, and has been deleted.")]
    Gone,
    #[error("There are 200 pillars, archived ones among them; delete one first.")]
    TooMany,
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

const PILLAR_GONE: Case = Case::new(
    409,
    "pillar_gone",
    "What this request made is not there any more",
);
const TOO_MANY: Case = Case::new(
    409,
    "too_many_pillars",
    "A person has no more pillars than 200",
);

impl Failure for CreateError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        KEY_REUSED,
        PILLAR_GONE,
        TOO_MANY,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::KeyReused => &KEY_REUSED,
            Self::Gone => &PILLAR_GONE,
            Self::TooMany => &TOO_MANY,
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
            Self::Invalid(_) | Self::KeyReused | Self::Gone | Self::TooMany => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Seals and stores a draft as the first revision of a new pillar, at the end of all. A request that names itself makes one
/// pillar, however often it comes.
pub(crate) async fn create(
    journal: &Journal,
    caller: &Caller,
    draft: PillarDraft,
    name: Option<IdempotencyKey>,
    now: OffsetDateTime,
) -> Result<Shown, CreateError> {
    let content = PillarContent::parse(draft).map_err(CreateError::Invalid)?;
    let pillar = Pillar::new(content, now);
    let key = data_key::for_writing(journal, caller, now).await?.key;
    let user = caller.user_id();
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    if let Some(name) = name {
        let request = Request::of_pillar(&pillar.content);
        let made = Made {
            id: pillar.id.uuid(),
            request_sealed: request.seal(user, pillar.id.uuid(), &key),
        };
        if !idempotency_keys::claim(&transaction, user, &name.hash(), &made, now).await? {
            let id = made_before(&transaction, caller, (&name, &request), &key).await?;
            return repeated(&transaction, caller, (id, pillar.content), &key).await;
        }
    }
    // One after another, so that they can be counted.
    if !data_keys::hold(&transaction, user).await? {
        return Err(KeyError::Closed.into());
    }
    if store::pillars::ids(&transaction, user).await?.len() >= PILLARS {
        return Err(CreateError::TooMany);
    }
    let sealed = SealedPillar::seal(&pillar, user, &key);
    store::pillars::insert(&transaction, user, &sealed).await?;
    let position = position(&transaction, user, &key, pillar.id).await?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(Shown {
        pillar,
        current: None,
        position,
    })
}

/// Which pillar the request has made when it came first.
async fn made_before(
    db: &Transaction<'_>,
    caller: &Caller,
    (name, request): (&IdempotencyKey, &Request),
    key: &DataKey,
) -> Result<PillarId, CreateError> {
    let user = caller.user_id();
    let made = idempotency_keys::find(db, user, &name.hash()).await?;
    // One that was changed in the database is another request, too.
    let before = Request::open(&made.request_sealed, user, made.id, key);
    if before.as_ref() != Some(request) {
        return Err(CreateError::KeyReused);
    }
    Ok(PillarId::new(made.id))
}

/// The pillar as the request made it, which asks for the very same again; where it stands, and how, is as it is now.
async fn repeated(
    db: &Transaction<'_>,
    caller: &Caller,
    (id, content): (PillarId, PillarContent),
    key: &DataKey,
) -> Result<Shown, CreateError> {
    let user = caller.user_id();
    let row = store::pillars::find(db, user, id).await?;
    let row = row.ok_or(CreateError::Gone)?;
    let (now, current) = super::open(&row, user, key).map_err(|_| CreateError::Gone)?;
    let mut pillar = Pillar::new(content, now.created_at);
    pillar.id = id;
    Ok(Shown {
        pillar,
        current,
        position: position(db, user, key, id).await?,
    })
}
