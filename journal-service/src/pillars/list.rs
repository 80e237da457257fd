//! All pillars of a person, in their order.

use std::collections::HashMap;

use shared::{access_token::Caller, envelope::DataKey, user_id::UserId};
use time::OffsetDateTime;
use tokio::try_join;

use super::{Shown, open, open_order};
use crate::{
    Journal,
    data_key::{self, KeyError, Stored},
    domain::{
        entry::Revision,
        pillar::PillarId,
        pillar_order::{SealedOrder, ordered},
    },
    store::{
        pillar_orders,
        pillars::{self, PillarRow},
    },
};

/// All of them: there are never more than fit.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) pillars: Vec<Shown>,
    /// What cannot be shown. One damaged row must neither hide nor be hidden by the rest.
    pub(crate) unreadable: Vec<(PillarId, Revision)>,
    /// Whether the order does not open.
    pub(crate) order_unreadable: bool,
}

/// The caller's pillars: all, or only those that are archived, or those that are not.
pub(crate) async fn list(
    journal: &Journal,
    caller: &Caller,
    archived: Option<bool>,
    now: OffsetDateTime,
) -> Result<Listed, KeyError> {
    let user = caller.user_id();
    let (stored, rows, order) = {
        let db = journal.pool.get().await?;
        // All questions travel together: one round trip.
        try_join!(
            data_key::stored(&*db, user),
            pillars::all(&*db, user),
            pillar_orders::find(&*db, user)
        )?
    };
    if rows.is_empty() && !matches!(stored, Stored::Closed) {
        return Ok(Listed::default());
    }
    let key = data_key::opened(journal, caller, stored, now).await?;
    let mut listed = arranged(&rows, order.as_ref(), user, &key);
    let wanted =
        |shown: &Shown| archived.is_none_or(|it| it == shown.pillar.content.parts().archived);
    listed.pillars.retain(wanted);
    Ok(listed)
}

/// The rows opened and in their order.
pub(super) fn arranged(
    rows: &[PillarRow],
    order: Option<&SealedOrder>,
    user: UserId,
    key: &DataKey,
) -> Listed {
    let order = open_order(order, user, key);
    let mut listed = Listed {
        order_unreadable: order.is_err(),
        ..Listed::default()
    };
    let mut by_id: HashMap<_, _> = rows.iter().map(|row| (row.pillar.id, row)).collect();
    let ids = rows.iter().map(|row| row.pillar.id).collect();
    let places = ordered(ids, &order.unwrap_or_default());
    for (position, id) in places.into_iter().enumerate() {
        let Some(row) = by_id.remove(&id) else {
            continue;
        };
        match open(row, user, key) {
            Ok((pillar, current)) => listed.pillars.push(Shown {
                pillar,
                current,
                position,
            }),
            Err(_) => listed.unreadable.push((id, row.pillar.revision)),
        }
    }
    listed
}
