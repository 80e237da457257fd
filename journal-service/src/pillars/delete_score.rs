//! A score goes: one that was wrong, or that does not open.

use shared::{
    access_token::Caller,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
};
use thiserror::Error;

use crate::{
    Journal,
    data_key::ACCOUNT_CLOSED,
    domain::{pillar::PillarId, score::ScoreId},
    store::{closed_journals, pillar_scores},
};

#[derive(Debug, Error)]
pub(crate) enum DeleteScoreError {
    #[error("There is no such score of such a pillar.")]
    NotFound,
    #[error("The account is closed; nothing of this journal can be read or written.")]
    Closed,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// Also for a pillar or a score of somebody else.
const SCORE_NOT_FOUND: Case = Case::new(404, "score_not_found", "There is no such score");

impl Failure for DeleteScoreError {
    const CASES: &'static [Case] = &[SCORE_NOT_FOUND, ACCOUNT_CLOSED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::NotFound => &SCORE_NOT_FOUND,
            Self::Closed => &ACCOUNT_CLOSED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::NotFound | Self::Closed => None,
        }
    }
}

/// Deletes a score of the caller's pillar.
pub(crate) async fn delete_score(
    journal: &Journal,
    caller: &Caller,
    pillar: PillarId,
    id: ScoreId,
) -> Result<(), DeleteScoreError> {
    let user = caller.user_id();
    let db = journal.pool.get().await?;
    if closed_journals::is_closed(&*db, user).await? {
        return Err(DeleteScoreError::Closed);
    }
    if pillar_scores::delete(&*db, user, pillar, id).await? {
        Ok(())
    } else {
        Err(DeleteScoreError::NotFound)
    }
}
