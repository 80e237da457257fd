//! Scores of a pillar page by page: the newest day first.

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    problem::{Case, Failure, FieldError, INTERNAL, INVALID_REQUEST, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::{Date, OffsetDateTime};
use tokio::try_join;
use uuid::Uuid;

use super::{open_score, refusals::PILLAR_NOT_FOUND};
use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        cursor::List,
        pillar::PillarId,
        score::{Score, ScoreId},
    },
    store::{pillar_scores, pillars},
};

/// Which scores a client asks for.
pub(crate) struct WantedScores {
    pub(crate) pillar: PillarId,
    /// The cursor of the page before.
    pub(crate) after: Option<String>,
    /// Scores at most.
    pub(crate) limit: u32,
}

/// One page.
pub(crate) struct ScorePage {
    pub(crate) scores: Vec<Score>,
    /// What belongs on this page and does not open.
    pub(crate) unreadable: Vec<(ScoreId, Date)>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<String>,
}

#[derive(Debug, Error)]
pub(crate) enum ScoresError {
    #[error("The cursor in `after` is none that this list gave to this person.")]
    InvalidCursor,
    #[error("There is no such pillar.")]
    NotFound,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for ScoresError {
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
            Self::InvalidCursor => &INVALID_REQUEST,
            Self::NotFound => &PILLAR_NOT_FOUND,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidCursor => {
                vec![FieldError::new(
                    "query:after",
                    "is not a cursor of this list",
                )]
            }
            _ => Vec::new(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::InvalidCursor | Self::NotFound => None,
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// Scores of the caller's pillar, after that cursor.
pub(crate) async fn list_scores(
    journal: &Journal,
    caller: &Caller,
    wanted: WantedScores,
    now: OffsetDateTime,
) -> Result<ScorePage, ScoresError> {
    let (user, pillar) = (caller.user_id(), wanted.pillar);
    let (stored, row) = {
        let db = journal.pool.get().await?;
        try_join!(
            data_key::stored(&*db, user),
            pillars::find(&*db, user, pillar)
        )?
    };
    if row.is_none() && !matches!(stored, Stored::Closed) {
        return Err(ScoresError::NotFound);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let list = List::Scores(pillar);
    let after = wanted.after.as_deref();
    let after = after.map(|cursor| {
        list.open(cursor, user, &key)
            .ok_or(ScoresError::InvalidCursor)
    });
    // Before the first one there can be: `Uuid::max` is no version 7.
    let after = after.transpose()?.unwrap_or((Date::MAX, Uuid::max()));
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let db = journal.pool.get().await?;
    let mut rows = pillar_scores::page(&*db, user, pillar, after, wanted.limit).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more);
    let next = next.map(|row| list.seal((row.date, row.id.uuid()), user, &key));
    let (mut scores, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        match open_score(row, user, &key) {
            Ok(score) => scores.push(score),
            Err(_) => unreadable.push((row.id, row.date)),
        }
    }
    Ok(ScorePage {
        scores,
        unreadable,
        next,
    })
}
