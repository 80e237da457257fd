//! Pillars and their scores: one file per thing that a person does with them.

pub(crate) mod add_score;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_score;
pub(crate) mod edit;
pub(crate) mod list;
pub(crate) mod list_scores;
pub(crate) mod read;
pub(crate) mod refusals;
pub(crate) mod reorder;

use shared::{envelope::DataKey, problem::Unexpected, user_id::UserId};
use tokio::try_join;
use tokio_postgres::GenericClient;

use crate::{
    domain::{
        amount::Amount,
        entry::Revision,
        pillar::{Pillar, PillarId},
        pillar_order::{SealedOrder, ordered},
        score::{Score, SealedScore},
        sealed_entry::Unopened,
        sealed_pillar::SealedPillar,
    },
    store::{
        pillar_orders,
        pillars::{self, PillarRow},
    },
};

/// A pillar as its person sees it.
pub(crate) struct Shown {
    pub(crate) pillar: Pillar,
    /// What its newest score says.
    pub(crate) current: Option<Amount>,
    /// Its place among all of them, from 0.
    pub(crate) position: usize,
}

/// Opens a row. One that was changed, or pasted from elsewhere, is loud in the log, by its ids; so is its newest score,
/// without which nobody can say how the pillar stands.
fn open(
    row: &PillarRow,
    user: UserId,
    key: &DataKey,
) -> Result<(Pillar, Option<Amount>), Unopened> {
    let pillar = open_alone(&row.pillar, user, key)?;
    let newest = row.newest.as_ref();
    let newest = newest
        .map(|score| open_score(score, user, key))
        .transpose()?;
    Ok((pillar, newest.map(|score| score.value)))
}

/// The same without its scores.
pub(crate) fn open_alone(
    row: &SealedPillar,
    user: UserId,
    key: &DataKey,
) -> Result<Pillar, Unopened> {
    row.open(user, key).inspect_err(|cause| {
        let revision = row.revision.number();
        tracing::error!(user.id = %user, pillar.id = %row.id, revision, %cause, "a pillar does not open");
    })
}

pub(crate) fn open_score(
    row: &SealedScore,
    user: UserId,
    key: &DataKey,
) -> Result<Score, Unopened> {
    row.open(user, key).inspect_err(|cause| {
        let (pillar, score) = (row.pillar, row.id.uuid());
        tracing::error!(user.id = %user, pillar.id = %pillar, score.id = %score, %cause, "a score does not open");
    })
}

/// The order that the person has made, as far as it opens.
pub(crate) fn open_order(
    order: Option<&SealedOrder>,
    user: UserId,
    key: &DataKey,
) -> Result<Vec<PillarId>, Unopened> {
    let opened = order.map(|order| order.open(user, key)).transpose();
    let opened = opened.inspect_err(|cause| {
        tracing::error!(user.id = %user, %cause, "an order of pillars does not open");
    });
    Ok(opened?.unwrap_or_default())
}

/// The revision of the order that takes the place of that one.
pub(crate) fn revision_after(
    before: Option<&SealedOrder>,
    opened: &Result<Vec<PillarId>, Unopened>,
) -> Revision {
    match (before, opened) {
        (Some(before), Ok(_)) => before.revision.next(),
        // One that does not open may have any number.
        _ => Revision::FIRST,
    }
}

/// The place of a pillar that was found a moment ago. An order that does not open counts as none; lists tell.
async fn position(
    db: &impl GenericClient,
    user: UserId,
    key: &DataKey,
    id: PillarId,
) -> Result<usize, Unexpected> {
    let (mut ids, order) = try_join!(pillars::ids(db, user), pillar_orders::find(db, user))?;
    if !ids.contains(&id) {
        ids.push(id);
    }
    let order = open_order(order.as_ref(), user, key).unwrap_or_default();
    let place = ordered(ids, &order).iter().position(|other| *other == id);
    Ok(place.unwrap_or_default())
}
