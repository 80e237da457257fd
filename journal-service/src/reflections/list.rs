//! Feels day by day: the newest first, with both parts of a day.

use shared::{access_token::Caller, envelope::DataKey, user_id::UserId};
use time::{Date, OffsetDateTime};
use tokio::try_join;
use uuid::Uuid;

use super::open;
use crate::{
    Journal,
    data_key::{self, Stored},
    domain::{
        cursor::List,
        entry::Revision,
        reflection::{Evening, Kind, Morning, Reflection, Slot},
        sealed_reflection::SealedReflection,
    },
    entries::list::{ListError, Wanted},
    store::reflections::{BEFORE_ALL, DaysQuery, feels},
};

/// What was written of a day, as far as it opens.
pub(crate) struct Day {
    pub(crate) date: Date,
    pub(crate) morning: Option<Reflection<Morning>>,
    pub(crate) evening: Option<Reflection<Evening>>,
}

/// One page: its days, the newest first.
#[derive(Default)]
pub(crate) struct Feels {
    pub(crate) days: Vec<Day>,
    /// What belongs on this page and does not open.
    pub(crate) unreadable: Vec<(Slot, Revision)>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<String>,
}

/// The caller's feels of those days, after that cursor; the limit is in days.
pub(crate) async fn list(
    journal: &Journal,
    caller: &Caller,
    wanted: Wanted,
    now: OffsetDateTime,
) -> Result<Feels, ListError> {
    let user = caller.user_id();
    let query = DaysQuery {
        from: wanted.from.unwrap_or(BEFORE_ALL).max(BEFORE_ALL),
        to: wanted.to.unwrap_or(Date::MAX).max(BEFORE_ALL),
        days: wanted.limit,
    };
    if let Some(cursor) = wanted.after {
        return continued(journal, caller, &cursor, query, now).await;
    }
    let (stored, rows) = {
        let db = journal.pool.get().await?;
        // Both questions travel together: one round trip.
        try_join!(data_key::stored(&*db, user), feels(&*db, user, query))?
    };
    if rows.is_empty() && !matches!(stored, Stored::Closed) {
        return Ok(Feels::default());
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    Ok(opened(user, &key, rows, query.days))
}

/// A cursor opens only with the key, so here the rows wait for the vault.
async fn continued(
    journal: &Journal,
    caller: &Caller,
    cursor: &str,
    query: DaysQuery,
    now: OffsetDateTime,
) -> Result<Feels, ListError> {
    let user = caller.user_id();
    let stored = data_key::stored(&*journal.pool.get().await?, user).await?;
    // Who never wrote was never given a cursor.
    if let Stored::Nothing = stored {
        return Err(ListError::InvalidCursor);
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let after = List::Feels.open(cursor, user, &key);
    let (last, _) = after.ok_or(ListError::InvalidCursor)?;
    let before = last.previous_day().unwrap_or(BEFORE_ALL).max(BEFORE_ALL);
    let query = DaysQuery {
        to: query.to.min(before),
        ..query
    };
    let rows = feels(&*journal.pool.get().await?, user, query).await?;
    Ok(opened(user, &key, rows, query.days))
}

fn opened(user: UserId, key: &DataKey, rows: Vec<SealedReflection>, days: u32) -> Feels {
    let mut page = Feels::default();
    let (mut taken, mut last) = (0, None);
    for row in rows {
        let date = row.slot.date;
        if last != Some(date) {
            if taken == days {
                page.next = last.map(|last| List::Feels.seal((last, Uuid::nil()), user, key));
                break;
            }
            taken += 1;
            last = Some(date);
            page.days.push(Day {
                date,
                morning: None,
                evening: None,
            });
        }
        page.add(&row, user, key);
    }
    page.days
        .retain(|day| day.morning.is_some() || day.evening.is_some());
    page
}

impl Feels {
    /// Puts a row into the day that was begun last.
    fn add(&mut self, row: &SealedReflection, user: UserId, key: &DataKey) {
        let Some(day) = self.days.last_mut() else {
            return;
        };
        let opened = match row.slot.kind {
            Kind::Morning => open(row, user, key).map(|feel| day.morning = Some(feel)),
            Kind::Evening => open(row, user, key).map(|feel| day.evening = Some(feel)),
            Kind::Week => Ok(()),
        };
        if opened.is_err() {
            self.unreadable.push((row.slot, row.revision));
        }
    }
}
