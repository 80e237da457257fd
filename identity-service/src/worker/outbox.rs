//! Works off the outbox: every message at least once.

use std::sync::Arc;

use shared::{problem::Unexpected, serve::Shutdown};
use time::{Duration, OffsetDateTime};

use super::{errand, goes_on, notice};
use crate::{
    Identity,
    mail::Unsendable,
    outbox_key::{self, Opened},
    store::outbox::{self, Content, Message},
};

/// The wait before the second try; it doubles up to about four hours. Longer than one try takes, or another replica
/// would begin the next one meanwhile.
const FIRST_WAIT: Duration = Duration::minutes(2);
/// Mail that could not be sent for so long is of no use to anybody.
const GIVE_UP: Duration = Duration::hours(24);

/// Works until the shutdown is requested; one that was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    let bell = &identity.outbox_filled;
    loop {
        let worked = one(&identity, identity.clock.now()).await;
        if !goes_on(worked, "mail waits", bell, &mut shutdown).await {
            return;
        }
    }
}

/// Takes one message; `false` when none is due. The key comes first: while the vault is away no message uses
/// up its tries. A message that fails waits for its next try, and those behind it do not wait for it.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let key = outbox_key::opened(identity, now).await?;
    let claimed = outbox::claim(&*identity.pool.get().await?, now, FIRST_WAIT).await?;
    let Some(message) = claimed else {
        return Ok(false);
    };
    let late = now - message.created_at >= GIVE_UP;
    match decide(identity, &message, &key, now).await {
        Ok(done) => tracing::info!(message.id = %message.id, done, "mail decided"),
        Err(Unsendable::Unexpected(error)) if !late => {
            tracing::error!(message.id = %message.id, error = error.chain(), "mail waits");
            return Ok(true);
        }
        Err(error) => tracing::error!(message.id = %message.id, %error, "mail given up"),
    }
    outbox::delete(&*identity.pool.get().await?, message.id).await?;
    Ok(true)
}

/// What became of it, for the log: the only place that tells why no mail came.
async fn decide(
    identity: &Identity,
    message: &Message,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    match &message.content {
        Content::Errand(sealed) => errand::run(identity, message, sealed, key, now).await,
        Content::Notice(waiting) => {
            notice::send(identity, message.id, waiting, message.created_at, now).await
        }
        Content::Unknown => Err(Unexpected::bug("the message is of no kind that is known").into()),
    }
}
