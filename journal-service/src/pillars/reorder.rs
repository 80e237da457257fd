//! All pillars of a person put into an order, at once.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    list::{Listed, arranged},
    open_order, revision_after,
};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        pillar::{PILLARS, PillarId},
        pillar_order::{SealedOrder, is_complete},
    },
    store::{data_keys, pillar_orders, pillars},
};

#[derive(Debug, Error)]
pub(crate) enum ReorderError {
    #[error("See errors for what is wrong and where.")]
    Invalid(FieldError),
    #[error(
        "Name every pillar of yours once, archived ones too, and nothing else; read them again first."
    )]
    Differs,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const DIFFERS: Case = Case::new(
    409,
    "pillars_differ",
    "The ids are not exactly those of the person's pillars",
);

impl Failure for ReorderError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        DIFFERS,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::Differs => &DIFFERS,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
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
            Self::Invalid(_) | Self::Differs => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Puts the caller's pillars into that order. Of several orders at the same time the last one stays, whole. An order that
/// does not open is replaced, too.
pub(crate) async fn reorder(
    journal: &Journal,
    caller: &Caller,
    order: Vec<PillarId>,
    now: OffsetDateTime,
) -> Result<Listed, ReorderError> {
    if order.len() > PILLARS {
        let error = FieldError::body("ids", "has more than 200 items");
        return Err(ReorderError::Invalid(error));
    }
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    if let Stored::Nothing = stored {
        let nothing = order.is_empty().then(Listed::default);
        return nothing.ok_or(ReorderError::Differs);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let mut db = journal.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    // No pillar comes, and no other order, until this one is stored.
    if !data_keys::hold(&transaction, user).await? {
        return Err(KeyError::Closed.into());
    }
    let rows = pillars::all(&transaction, user).await?;
    if !is_complete(&order, rows.iter().map(|row| row.pillar.id).collect()) {
        return Err(ReorderError::Differs);
    }
    let before = pillar_orders::find(&transaction, user).await?;
    let known = open_order(before.as_ref(), user, &key);
    let revision = revision_after(before.as_ref(), &known);
    let sealed = SealedOrder::seal(&order, revision, now, user, &key);
    if known.ok().as_ref() != Some(&order) {
        pillar_orders::replace(&transaction, user, &sealed).await?;
        transaction.commit().await.map_err(Unexpected::from)?;
    }
    Ok(arranged(&rows, Some(&sealed), user, &key))
}
