//! Works off the outbox: every message at least once.

use std::sync::Arc;

use shared::{problem::Unexpected, serve::Shutdown};
use time::{Duration, OffsetDateTime};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

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

/// How many messages are worked off at once: more than one address can have mails of a kind on their way. Whoever asks for
/// somebody's mails, and then for one of their own, must not see in its time whether those are sent.
const HANDS: usize = 8;

/// Works until the shutdown is requested; what was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    let bell = &identity.outbox_filled;
    let hands = Arc::new(Semaphore::new(HANDS));
    let mut working = JoinSet::new();
    loop {
        let hand = tokio::select! {
            biased;
            () = shutdown.requested() => break,
            hand = Arc::clone(&hands).acquire_owned() => hand.ok(),
        };
        let begun = begin(&identity, hand, &mut working).await;
        if !goes_on(begun, "mail waits", bell, &mut shutdown).await {
            break;
        }
        while working.try_join_next().is_some() {}
    }
    while working.join_next().await.is_some() {}
}

/// Takes one message, for which a hand is free; `false` when none is due. The key comes first: while the vault is away no
/// message uses up its tries. Which key that is is looked at each time, here and not on the way of requests, since another
/// replica may have replaced it.
async fn begin(
    identity: &Arc<Identity>,
    hand: Option<OwnedSemaphorePermit>,
    working: &mut JoinSet<()>,
) -> Result<bool, Unexpected> {
    let now = identity.clock.now();
    outbox_key::look_again(identity).await?;
    let key = outbox_key::opened(identity, now).await?;
    let claimed = outbox::claim(&*identity.pool.get().await?, now, FIRST_WAIT).await?;
    let Some(message) = claimed else {
        return Ok(false);
    };
    let identity = Arc::clone(identity);
    working.spawn(async move {
        if let Err(error) = work_off(&identity, &message, &key, now).await {
            tracing::error!(message.id = %message.id, error = error.chain(), "mail waits");
        }
        drop(hand);
    });
    Ok(true)
}

/// A message that fails waits for its next try, and those behind it do not wait for it.
async fn work_off(
    identity: &Identity,
    message: &Message,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let late = now - message.created_at >= GIVE_UP;
    match decide(identity, message, key, now).await {
        Ok(done) => tracing::info!(message.id = %message.id, done, "mail decided"),
        Err(Unsendable::Unexpected(error)) if !late => return Err(error),
        Err(error) => tracing::error!(message.id = %message.id, %error, "mail given up"),
    }
    outbox::delete(&*identity.pool.get().await?, message.id).await
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
