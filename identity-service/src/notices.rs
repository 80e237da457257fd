//! Tells the owner of an account what happened to it. The worker finds out the address when it sends.

use shared::{problem::Unexpected, random};
use time::OffsetDateTime;
use tokio_postgres::GenericClient;

use crate::{
    device::Sighting,
    domain::{notice::Notice, sealed::Column},
    store::outbox::{self, Content, Message, Waiting},
};

/// Queues a mail to the owner, in the transaction that makes the notice true.
pub(crate) async fn queue(
    db: &impl GenericClient,
    sighting: &Sighting,
    notice: Notice,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let id = random::uuid_v7(now);
    let waiting = Waiting {
        user_id: sighting.user,
        notice,
        device_sealed: sighting.sealed(Column::NoticeDevice, id),
    };
    let message = Message {
        id,
        content: Content::Notice(waiting),
        created_at: now,
    };
    outbox::insert(db, &message).await
}
