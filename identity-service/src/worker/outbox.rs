//! Decides and sends waiting mail, at least once each.

use std::{sync::Arc, time::Duration as Pause};

use shared::{problem::Unexpected, serve::Shutdown};
use time::{Duration, OffsetDateTime};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    Identity,
    applicant::Applicant,
    domain::{email_address::EmailAddress, mail_token::MailToken},
    mail::{Errand, Unsendable, confirm_address, somebody_signed_up},
    outbox_key::{self, Opened},
    store::{
        accounts,
        outbox::{self, Message},
        pending_signups::{self, Pending},
    },
};

/// How often the outbox is looked at when nobody rings: for other replicas' mail, and for further tries.
const EVERY: Pause = Pause::from_secs(2);
/// The wait before the second try; it doubles up to about an hour.
const FIRST_WAIT: Duration = Duration::seconds(30);
/// Mail that could not be sent for so long is of no use to anybody.
const GIVE_UP: Duration = Duration::hours(24);
/// Sign-ups of one address that are mailed again at a time.
const AGAIN: i64 = 3;

/// Works until the shutdown is requested; a message that was begun is finished.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    loop {
        let more = one(&identity, identity.clock.now()).await;
        let more = more.unwrap_or_else(|error| {
            tracing::warn!(error = error.chain(), "mail waits");
            false
        });
        let pause = if more { Pause::ZERO } else { EVERY };
        tokio::select! {
            biased;
            () = shutdown.requested() => return,
            () = identity.outbox_filled.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Takes one message; `false` when none is due. The key comes first: while the vault is away no message uses
/// up its tries.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let key = outbox_key::opened(identity, now).await?;
    let claimed = outbox::claim(&*identity.pool.get().await?, now, FIRST_WAIT).await?;
    let Some(message) = claimed else {
        return Ok(false);
    };
    let late = now - message.created_at >= GIVE_UP;
    match run_errand(identity, &message, &key, now).await {
        Ok(done) => tracing::info!(message.id = %message.id, done, "mail decided"),
        Err(Unsendable::Unexpected(error)) if !late => return Err(error),
        Err(error) => tracing::error!(message.id = %message.id, %error, "mail given up"),
    }
    outbox::delete(&*identity.pool.get().await?, message.id).await?;
    Ok(true)
}

/// What became of it, for the log: the only place that tells why no mail came.
async fn run_errand(
    identity: &Identity,
    message: &Message,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    // It may be of a newer version of this service, so it is left for another try.
    let errand = Errand::open(message, key)
        .ok_or_else(|| Unexpected::bug(format!("message {} does not open", message.id)))?;
    match errand {
        Errand::Signup { pending_id } => signed_up(identity, pending_id, key, now).await,
        Errand::Resend { email } => asked_again(identity, &email, key, now).await,
    }
}

/// The owner of an account is told; everybody else is asked to confirm.
async fn signed_up(
    identity: &Identity,
    pending_id: Uuid,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let found = {
        let db = identity.pool.get().await?;
        pending_signups::find(&*db, pending_id, now).await?
    };
    let Some(pending) = found else {
        return Ok("the sign-up is gone: no mail");
    };
    let applicant = Applicant::open(&pending, key)?;
    let address = applicant.address()?;
    if !has_account(identity, &address).await? {
        ask_to_confirm(identity, &pending, key, now).await?;
        return Ok("signed up: a confirmation is asked for");
    }
    let app_url = identity.mailer.app_url();
    let text = somebody_signed_up(app_url, &applicant.network, pending.created_at);
    identity
        .mailer
        .send(pending.id, &address, text, now)
        .await?;
    // Nobody will ever be able to confirm it.
    pending_signups::take(&*identity.pool.get().await?, pending.id).await?;
    Ok("signed up with the address of an account: its owner is told")
}

/// Every waiting sign-up of the address gets a mail of its own, which says when and from where *it* came:
/// one mail for the newest would let a stranger's sign-up pass for the one that was asked about.
async fn asked_again(
    identity: &Identity,
    email: &str,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let address = EmailAddress::parse(email);
    let address = address.ok_or_else(|| Unexpected::bug("an errand without an address"))?;
    if has_account(identity, &address).await? {
        return Ok("asked again for the address of an account: no mail");
    }
    let waiting = {
        let indexes = identity.secrets.email_indexes(&address);
        let db = identity.pool.get().await?;
        pending_signups::newest(&*db, &indexes, AGAIN, now).await?
    };
    for pending in &waiting {
        ask_to_confirm(identity, pending, key, now).await?;
    }
    Ok(if waiting.is_empty() {
        "asked again, but no sign-up waits: no mail"
    } else {
        "asked again: confirmations are asked for"
    })
}

/// A token that exists in this mail alone.
async fn ask_to_confirm(
    identity: &Identity,
    pending: &Pending,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<(), Unsendable> {
    let applicant = Applicant::open(pending, key)?;
    let token = MailToken::generate();
    let known = {
        let db = identity.pool.get().await?;
        pending_signups::add_token(&*db, pending.id, &token.hash()).await?
    };
    if !known {
        return Ok(());
    }
    let app_url = identity.mailer.app_url();
    let (network, at) = (&applicant.network, pending.created_at);
    let text = confirm_address(app_url, token.expose(), network, at);
    let address = applicant.address()?;
    let id = shared::random::uuid_v7(now);
    identity.mailer.send(id, &address, text, now).await
}

async fn has_account(identity: &Identity, address: &EmailAddress) -> Result<bool, Unexpected> {
    let indexes = identity.secrets.email_indexes(address);
    accounts::exists(&*identity.pool.get().await?, &indexes).await
}
