//! All of a journal, a few records at a time.
//!
//! No snapshot is held: a client may take minutes, and Postgres would keep every old row for as long. Records are read in the
//! order of their ids, which no edit changes, so each that is there all the while comes exactly once, as it is when it is
//! read; one that is written or deleted meanwhile may come or not.

use std::sync::Arc;

use shared::{
    access_token::{Caller, EXPIRED, INVALID},
    envelope::DataKey,
    problem::{Case, Failure, INTERNAL, INVALID_REQUEST, OVERLOADED, UNAVAILABLE, Unexpected},
    user_id::UserId,
};
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::{task::spawn_blocking, try_join};
use uuid::Uuid;

use crate::{
    Journal,
    data_key::{self, ACCOUNT_CLOSED, JOURNAL_UNREADABLE, KeyError, Stored},
    domain::{
        entry::{Entry, EntryId},
        sealed_entry::Unopened,
    },
    entries::{open, pillars::known, refusals::ENTRY_UNREADABLE},
    slots::{Busy, Slot},
    store::entries::{Page, page_by_id},
};

/// Rows that are opened in one go.
const ROWS: u32 = 200;
/// Sealed bytes of them; the first row always is taken.
const BYTES: i64 = 512 << 10;

#[derive(Debug, Error)]
pub(crate) enum ExportError {
    #[error("Wait until one of them has ended.")]
    InProgress,
    #[error("Try again in a moment.")]
    Overloaded,
    #[error(
        "An entry is not what was written, so nothing complete can be exported; the list names it as unreadable."
    )]
    Unreadable(Unopened),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const IN_PROGRESS: Case = Case::new(
    409,
    "export_in_progress",
    "Two exports of this journal are under way",
);

impl Failure for ExportError {
    const CASES: &'static [Case] = &[
        INVALID_REQUEST,
        INVALID,
        EXPIRED,
        IN_PROGRESS,
        ENTRY_UNREADABLE,
        JOURNAL_UNREADABLE,
        ACCOUNT_CLOSED,
        INTERNAL,
        UNAVAILABLE,
        OVERLOADED,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InProgress => &IN_PROGRESS,
            Self::Overloaded => &OVERLOADED,
            Self::Unreadable(_) => &ENTRY_UNREADABLE,
            Self::Key(error) => error.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(Duration::from_secs(1)),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Key(error) => error.unexpected(),
            Self::Unexpected(unexpected) => Some(unexpected),
            Self::InProgress | Self::Overloaded | Self::Unreadable(_) => None,
        }
    }
}

/// An export on its way.
pub(crate) struct Export {
    journal: Arc<Journal>,
    caller: Caller,
    /// What was read last; every id is above the first of these.
    after: Uuid,
    is_over: bool,
    _slot: Slot,
}

impl Export {
    /// Takes one of the places for exports.
    pub(crate) fn begin(journal: &Arc<Journal>, caller: Caller) -> Result<Self, ExportError> {
        let slot = journal.exports.take(caller.user_id());
        let slot = slot.map_err(|busy| match busy {
            Busy::Person => ExportError::InProgress,
            Busy::Everybody => ExportError::Overloaded,
        })?;
        Ok(Self {
            journal: Arc::clone(journal),
            caller,
            after: Uuid::nil(),
            is_over: false,
            _slot: slot,
        })
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn user_id(&self) -> UserId {
        self.caller.user_id()
    }

    /// How long the access token is still good, with which the export ends: a key that is in memory does not ask for it.
    pub(crate) fn access_left(&self, now: OffsetDateTime) -> Duration {
        let left = self.caller.claims().exp - now.unix_timestamp();
        u64::try_from(left).map_or(Duration::ZERO, Duration::from_secs)
    }

    /// The next entries; `None` after the last ones. Each time the key is asked for anew, so that an export ends with the
    /// person's access, and nothing of a journal that was closed meanwhile goes out.
    pub(crate) async fn next(
        &mut self,
        now: OffsetDateTime,
    ) -> Result<Option<Vec<Entry>>, ExportError> {
        if self.is_over {
            return Ok(None);
        }
        if self.access_left(now).is_zero() {
            return Err(KeyError::TokenExpired.into());
        }
        let user = self.user_id();
        let (stored, page) = {
            let db = self.journal.pool.get().await?;
            // The key is looked at behind the rows: those of a journal that is closed go later, so none is missing unnoticed.
            let (page, stored) = try_join!(
                page_by_id(&*db, user, EntryId::new(self.after), (ROWS, BYTES)),
                data_key::stored(&*db, user),
            )?;
            (stored, page)
        };
        let last = page.rows.last().map(|row| row.id.uuid());
        self.is_over = !page.more;
        match (last, &stored) {
            (Some(last), _) => self.after = last,
            (None, Stored::Closed) => return Err(KeyError::Closed.into()),
            (None, _) => return Ok(None),
        }
        let key = data_key::opened(&self.journal, &self.caller, stored, now).await?;
        // Milliseconds of cryptography: not on a thread that others wait for.
        let opened = spawn_blocking(move || opened(&page, user, &key)).await;
        let opened = opened.map_err(|_| Unexpected::bug("opening entries"))?;
        let entries = opened.map_err(ExportError::Unreadable)?;
        let pillars = known(&self.journal, user, entries.iter()).await?;
        let shown = entries.into_iter();
        let shown = shown.map(|entry| entry.with_pillars_among(&pillars));
        Ok(Some(shown.collect()))
    }
}

/// All of them, or none: an export that leaves something out would be taken for the whole.
fn opened(page: &Page, user: UserId, key: &DataKey) -> Result<Vec<Entry>, Unopened> {
    let rows = page.rows.iter();
    rows.map(|row| open(row, user, key)).collect()
}
