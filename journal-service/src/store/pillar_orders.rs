//! Table `pillar_orders`: the sealed order of each person's pillars.

use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::{GenericClient, types::Type};

use super::entries::{revision, time};
use crate::domain::pillar_order::SealedOrder;

pub(crate) async fn find(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<SealedOrder>, Unexpected> {
    let sql = "SELECT revision, updated_at, order_sealed FROM pillar_orders WHERE user_id = $1";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.map(|row| {
        Ok(SealedOrder {
            revision: revision(&row)?,
            updated_at: time(&row, "updated_at")?,
            order: row.try_get("order_sealed")?,
        })
    })
    .transpose()
}

/// Puts an order in the place of the one before it, in a transaction that holds the person's key.
pub(crate) async fn replace(
    db: &impl GenericClient,
    user: UserId,
    order: &SealedOrder,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO pillar_orders (user_id, revision, updated_at, order_sealed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision, updated_at = excluded.updated_at,
                                             order_sealed = excluded.order_sealed",
        &[
            (&user.uuid(), Type::UUID),
            (&order.revision.number(), Type::INT8),
            (&order.updated_at, Type::TIMESTAMPTZ),
            (&order.order, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}
