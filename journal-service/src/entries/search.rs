//! Entries that hold what somebody looks for. Sealed text has no index, so the person's own records are opened one after
//! another, the newest day first, as much at a time as never takes much memory.

use std::{sync::Arc, time::Duration};

use shared::{access_token::Caller, envelope::DataKey, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio::{join, task::spawn_blocking, time::Instant, try_join};

use super::{
    list::{ListError, Listed, Shown, Unreadable, Wanted},
    open,
};
use crate::{
    Journal,
    data_key::{self, Stored},
    domain::{
        cursor::Position, entry::Entry, pillar::PillarId, sealed_entry::SealedEntry,
        search::Question,
    },
    store::{
        entries::{Page, PageQuery, page},
        pillars,
    },
};

/// Rows that are looked at in one go.
const ROWS: u32 = 500;
/// Sealed bytes of them. As many are on their way from the database meanwhile.
const BYTES: i64 = 1 << 20;
/// Bytes of text in one answer, after which no further entry is taken; the first one always is.
const ANSWER_BYTES: usize = 4 << 20;
/// After so long an answer goes out with what was found so far, and says where to go on.
const TIME: Duration = Duration::from_secs(2);

/// What somebody looks for.
pub(crate) struct Sought {
    pub(crate) question: Option<Question>,
    /// A tag, exactly as it was written.
    pub(crate) tag: Option<String>,
    pub(crate) pillar: Option<PillarId>,
}

impl Sought {
    /// Whether nothing is looked for in particular.
    pub(crate) fn is_everything(&self) -> bool {
        self.question.is_none() && self.tag.is_none() && self.pillar.is_none()
    }

    /// The entry, with where it holds it, if it does.
    fn find(&self, entry: Entry) -> Option<Shown> {
        let content = entry.content.parts();
        if self
            .tag
            .as_ref()
            .is_some_and(|tag| !content.tags.contains(tag))
        {
            return None;
        }
        if self
            .pillar
            .is_some_and(|id| !content.pillar_ids.contains(&id))
        {
            return None;
        }
        let found = match &self.question {
            Some(question) => Some(question.find(content)?),
            None => None,
        };
        Some(Shown { entry, found })
    }
}

/// The caller's entries of those days that hold it, after that cursor.
pub(crate) async fn search(
    journal: &Journal,
    caller: &Caller,
    sought: Sought,
    wanted: &Wanted,
    now: OffsetDateTime,
) -> Result<Listed, ListError> {
    let user = caller.user_id();
    let (stored, known) = {
        let db = journal.pool.get().await?;
        // Both questions travel together: one round trip.
        try_join!(data_key::stored(&*db, user), pillars::ids(&*db, user))?
    };
    if let Stored::Nothing = stored {
        // Who never wrote was never given a cursor.
        let cursor = wanted.after.as_ref();
        return cursor.map_or(Ok(Listed::default()), |_| Err(ListError::InvalidCursor));
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let after = wanted.after.as_deref();
    let after =
        after.map(|cursor| Position::open(cursor, user, &key).ok_or(ListError::InvalidCursor));
    let mut query = PageQuery {
        after: after.transpose()?.unwrap_or(Position::START),
        rows: ROWS,
        bytes: BYTES,
        ..wanted.days()
    };
    // Waiting counts: who has waited so long answers with the first page, and makes place for the next.
    let until = Instant::now() + TIME;
    // However many search, so many have pages in memory.
    let place = journal.searches.acquire().await;
    let _place = place.map_err(|_| Unexpected::bug("no search is let in any more"))?;
    let mut search = Search::new((sought, wanted.limit), user, key, known);
    let mut is_first = true;
    let mut page = fetched(journal, user, query).await?;
    loop {
        let more = page.more;
        query.after = page.rows.last().map_or(query.after, position);
        // Milliseconds of cryptography and comparing: not on a thread that others wait for.
        let looking = spawn_blocking(move || search.through(&page));
        // Most questions are answered by the first page. From then on Postgres reads ahead.
        let ahead = async {
            let wanted = more && !is_first;
            if wanted {
                Some(fetched(journal, user, query).await)
            } else {
                None
            }
        };
        let (looked, ahead) = join!(looking, ahead);
        search = looked.map_err(|_| Unexpected::bug("looking through entries"))?;
        let Some(last) = search.last else {
            return Ok(search.listed);
        };
        if search.is_full || (more && Instant::now() >= until) {
            return Ok(search.with_next(last));
        }
        if !more {
            return Ok(search.listed);
        }
        is_first = false;
        page = match ahead {
            Some(page) => page?,
            None => fetched(journal, user, query).await?,
        };
    }
}

async fn fetched(journal: &Journal, user: UserId, query: PageQuery) -> Result<Page, Unexpected> {
    page(&*journal.pool.get().await?, user, &query).await
}

fn position(row: &SealedEntry) -> Position {
    Position {
        date: row.date,
        id: row.id,
    }
}

/// How far a search has come.
struct Search {
    sought: Sought,
    limit: usize,
    user: UserId,
    key: Arc<DataKey>,
    /// Those that there are.
    pillars: Vec<PillarId>,
    listed: Listed,
    bytes: usize,
    /// The last row that was looked at.
    last: Option<Position>,
    /// Whether the answer holds as much as it may, and there are rows that were not looked at.
    is_full: bool,
}

impl Search {
    fn new(
        (sought, limit): (Sought, u32),
        user: UserId,
        key: Arc<DataKey>,
        pillars: Vec<PillarId>,
    ) -> Self {
        Self {
            sought,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            user,
            key,
            pillars,
            listed: Listed::default(),
            bytes: 0,
            last: None,
            is_full: false,
        }
    }

    /// Looks at the rows of a page, in their order.
    fn through(mut self, page: &Page) -> Self {
        for row in &page.rows {
            match open(row, self.user, &self.key) {
                Err(_) if self.taken() == self.limit => {
                    self.is_full = true;
                    return self;
                }
                Err(_) => self.listed.unreadable.push(Unreadable::of(row)),
                Ok(entry) => {
                    let entry = entry.with_pillars_among(&self.pillars);
                    if let Some(shown) = self.sought.find(entry) {
                        self.bytes += shown.entry.content.text_bytes();
                        let taken = self.taken();
                        if taken == self.limit || (taken > 0 && self.bytes > ANSWER_BYTES) {
                            self.is_full = true;
                            return self;
                        }
                        self.listed.entries.push(shown);
                    }
                }
            }
            self.last = Some(position(row));
        }
        self
    }

    fn taken(&self) -> usize {
        self.listed.entries.len() + self.listed.unreadable.len()
    }

    fn with_next(self, last: Position) -> Listed {
        Listed {
            next: Some(last.seal(self.user, &self.key)),
            ..self.listed
        }
    }
}
