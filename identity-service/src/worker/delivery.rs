//! Sends a mail, unless its address has had enough of the kind: nobody is to be buried in mail by somebody who
//! knows an address.

use time::{Duration, OffsetDateTime};

use super::errand::GOOD_FOR;
use crate::{
    Identity,
    mail::{Letter, Mail, Unsendable},
    store::mail_allowances::{self, Allowance},
};

/// Five mails of a kind at once, then one an hour, or as often as its token runs out where that is sooner: whoever uses
/// this up for somebody else fills their mailbox with tokens that are good, and does not keep them out.
fn allowance(letter: Letter<'_>) -> Allowance {
    let refill = match letter {
        Letter::ResetPassword { .. } | Letter::ConfirmNewAddress { .. } | Letter::AddressWanted => {
            GOOD_FOR
        }
        _ => Duration::hours(1),
    };
    Allowance { burst: 5, refill }
}

/// `false` when it was one too many. What does not go now is not counted, since it comes again.
pub(super) async fn deliver(
    identity: &Identity,
    mail: &Mail<'_>,
    now: OffsetDateTime,
) -> Result<bool, Unsendable> {
    let index = identity.secrets.mail_index(mail.to);
    let (kind, allowance) = (mail.letter.kind(), allowance(mail.letter));
    let allowed = {
        let db = identity.pool.get().await?;
        mail_allowances::spend(&*db, &index, kind, allowance, now).await?
    };
    if !allowed {
        return Ok(false);
    }
    let sent = identity.mailer.send(mail, now).await;
    if let Err(Unsendable::Unexpected(_)) = &sent {
        let db = identity.pool.get().await?;
        mail_allowances::give_back(&*db, &index, kind, allowance).await?;
    }
    sent.map(|()| true)
}
