//! How a pillar stands on a day.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::try_join;

use super::refusals::PILLAR_NOT_FOUND;
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        pillar::PillarId,
        score::{Score, ScoreDraft, SealedScore},
    },
    store::{pillar_scores, pillars},
};

#[derive(Debug, Error)]
pub(crate) enum ScoreError {
    #[error("See errors for what is wrong and where.")]
    Invalid(Vec<FieldError>),
    #[error("There is no such pillar.")]
    NotFound,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ScoreError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        PILLAR_NOT_FOUND,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Invalid(_) => &INVALID_REQUEST,
            Self::NotFound => &PILLAR_NOT_FOUND,
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
            Self::Invalid(_) | Self::NotFound => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Seals and stores a score of the caller's pillar.
pub(crate) async fn add_score(
    journal: &Journal,
    caller: &Caller,
    pillar: PillarId,
    draft: ScoreDraft,
    now: OffsetDateTime,
) -> Result<Score, ScoreError> {
    let score = Score::new(pillar, draft, now).map_err(ScoreError::Invalid)?;
    let user = caller.user_id();
    let (stored, row) = {
        let db = journal.pool.get().await?;
        try_join!(
            data_key::stored(&*db, user),
            pillars::find(&*db, user, pillar)
        )?
    };
    if row.is_none() && !matches!(stored, Stored::Closed) {
        return Err(ScoreError::NotFound);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let sealed = SealedScore::seal(&score, user, &key);
    let db = journal.pool.get().await?;
    if pillar_scores::insert(&*db, user, &sealed).await? {
        return Ok(score);
    }
    // Erased, or deleted, since it was found.
    match data_key::stored(&*db, user).await? {
        Stored::Key(_) => Err(ScoreError::NotFound),
        Stored::Closed | Stored::Nothing => Err(KeyError::Closed.into()),
    }
}
