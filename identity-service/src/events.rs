//! Notes what happened to an account: for its person, and as one audit line for the operator.

use shared::{problem::Unexpected, random};
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    device::Sighting,
    domain::{event::Event, sealed::Column},
    store::security_events::{self, Noted},
};

/// Notes one event, in the transaction that makes it true.
pub(crate) async fn record(
    db: &impl GenericClient,
    sighting: &Sighting,
    event: Event,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    record_as(db, random::uuid_v7(now), sighting, event, now).await
}

/// The same under an id that was made when it happened.
pub(crate) async fn record_as(
    db: &impl GenericClient,
    id: Uuid,
    sighting: &Sighting,
    event: Event,
    happened: OffsetDateTime,
) -> Result<(), Unexpected> {
    let noted = Noted {
        id,
        event,
        created_at: happened,
        device_sealed: sighting.sealed(Column::EventDevice, id),
    };
    security_events::insert(db, sighting.user, &noted).await?;
    tracing::info!(
        target: "audit",
        { user.id = %sighting.user, event = event.name() },
        "security event"
    );
    Ok(())
}
