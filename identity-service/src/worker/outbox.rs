//! Decides and sends waiting mail, at least once each.

use std::{sync::Arc, time::Duration as Pause};

use shared::{problem::Unexpected, serve::Shutdown};
use time::{Duration, OffsetDateTime};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    Identity,
    domain::{email_address::EmailAddress, mail_token::MailToken},
    mail::{Errand, Unsendable, confirm_address, somebody_signed_up},
    outbox_key,
    store::{
        accounts,
        outbox::{self, Message},
        pending_signups,
    },
};

/// How often the outbox is looked at when nobody rings: for other replicas' mail, and for further tries.
const EVERY: Pause = Pause::from_secs(2);
/// The wait before the second try; it doubles up to about an hour.
const FIRST_WAIT: Duration = Duration::seconds(30);
/// Mail that could not be sent for so long is of no use to anybody.
const GIVE_UP: Duration = Duration::hours(24);

/// Works until the shutdown is requested.
pub(super) async fn run(identity: Arc<Identity>, mut shutdown: Shutdown) {
    loop {
        match one(&identity, identity.clock.now()).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(error = error.chain(), "mail waits"),
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = identity.outbox_filled.notified() => {}
            () = sleep(EVERY) => {}
        }
    }
}

/// Takes one message; `false` when none is due.
async fn one(identity: &Identity, now: OffsetDateTime) -> Result<bool, Unexpected> {
    let claimed = outbox::claim(&*identity.pool.get().await?, now, FIRST_WAIT).await?;
    let Some(message) = claimed else {
        return Ok(false);
    };
    let key = outbox_key::opened(identity, now).await?;
    let Some(errand) = Errand::open(&message, &key) else {
        tracing::error!(message.id = %message.id, "a message in the outbox does not open");
        finish(identity, message.id).await?;
        return Ok(true);
    };
    match run_errand(identity, &message, errand, now).await {
        Ok(done) => tracing::info!(message.id = %message.id, done, "mail decided"),
        Err(Unsendable::Unexpected(error)) if now - message.created_at < GIVE_UP => {
            return Err(error);
        }
        Err(error) => tracing::error!(message.id = %message.id, %error, "mail given up"),
    }
    finish(identity, message.id).await?;
    Ok(true)
}

async fn finish(identity: &Identity, id: Uuid) -> Result<(), Unexpected> {
    outbox::delete(&*identity.pool.get().await?, id).await
}

/// What became of it, for the log: the only place that tells why no mail came.
async fn run_errand(
    identity: &Identity,
    message: &Message,
    errand: Errand,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let app_url = identity.mailer.app_url();
    let (email, text, done) = match errand {
        Errand::Signup {
            email,
            token,
            network,
        } => {
            if has_account(identity, &email).await? {
                let text = somebody_signed_up(app_url, &network, message.created_at);
                (
                    email,
                    text,
                    "signed up with the address of an account: its owner is told",
                )
            } else {
                let text = confirm_address(app_url, &token, &network, message.created_at);
                (email, text, "signed up: a confirmation is asked for")
            }
        }
        Errand::Resend { email, network } => {
            let token = MailToken::generate();
            if !renew(identity, &email, &token, now).await? {
                return Ok("asked again, but no sign-up waits: no mail");
            }
            let text = confirm_address(app_url, token.expose(), &network, message.created_at);
            (email, text, "asked again: a confirmation is asked for")
        }
    };
    identity.mailer.send(message.id, &email, text, now).await?;
    Ok(done)
}

async fn has_account(identity: &Identity, email: &str) -> Result<bool, Unexpected> {
    let indexes = indexes(identity, email)?;
    accounts::exists(&*identity.pool.get().await?, &indexes).await
}

/// Gives the newest waiting sign-up of the address another token.
async fn renew(
    identity: &Identity,
    email: &str,
    token: &MailToken,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let indexes = indexes(identity, email)?;
    let db = identity.pool.get().await?;
    if accounts::exists(&*db, &indexes).await? {
        return Ok(false);
    }
    let hash = token.hash();
    Ok(
        pending_signups::replace_newest_token(&*db, &indexes, &hash, now)
            .await?
            .is_some(),
    )
}

fn indexes(identity: &Identity, email: &str) -> Result<Vec<Vec<u8>>, Unexpected> {
    let address = EmailAddress::parse(email);
    let address = address.ok_or_else(|| Unexpected::bug("an errand without an address"))?;
    Ok(identity.secrets.email_indexes(&address))
}
