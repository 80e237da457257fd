//! Tells the owner of an account what happened to it, at the address it has now.

use shared::user_id::UserId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::delivery::deliver;
use crate::{
    Identity,
    device::Device,
    domain::{email_address::EmailAddress, sealed::Column},
    mail::{Letter, Mail, Occasion, Unsendable},
    me,
    store::{accounts, outbox::Waiting},
};

/// What became of it, for the log. It happened when it was queued.
pub(super) async fn send(
    identity: &Identity,
    message_id: Uuid,
    waiting: &Waiting,
    happened: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let user = waiting.user_id;
    let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
    let Some(profile) = profile else {
        return Ok("a notice to an account that is gone or disabled: no mail");
    };
    let address = fit(&me::address(identity, &profile, now).await?)?;
    let key = profile.key.open(identity, now).await?;
    let device = waiting.device_sealed.as_deref();
    let device = device
        .and_then(|sealed| Device::open(sealed, &key, Column::NoticeDevice, user, message_id));
    let mail = Mail {
        id: message_id,
        to: &address,
        letter: Letter::Notice(waiting.notice),
        occasion: Occasion {
            at: happened,
            // And not the user agent: whoever makes a request writes that, and would be writing into this mail.
            network: device.as_ref().map(|device| device.network.as_str()),
        },
    };
    let sent = deliver(identity, &mail, now).await?;
    Ok(if sent {
        "a notice: the owner of the account is told"
    } else {
        "a notice, one too many of its kind: no mail"
    })
}

/// The address of an account as its owner wrote it; `None` when the account is gone or disabled.
pub(super) async fn address_of(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Option<EmailAddress>, Unsendable> {
    let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
    let Some(profile) = profile else {
        return Ok(None);
    };
    fit(&me::address(identity, &profile, now).await?).map(Some)
}

fn fit(address: &str) -> Result<EmailAddress, Unsendable> {
    let unfit = || Unsendable::Refused("the address of the account is none".to_owned());
    EmailAddress::parse(address).ok_or_else(unfit)
}
