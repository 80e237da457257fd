//! Sends a mail, unless its address has had enough of the kind: nobody is to be buried in mail by somebody who
//! knows an address.

use time::{Duration, OffsetDateTime};

use crate::{
    Identity,
    mail::{Mail, Unsendable},
    store::mail_allowances::{self, Allowance},
};

/// Five mails of a kind at once, then one an hour. Confirmations stay good for longer than that, so that whoever
/// uses this up for somebody else does not keep them out.
const ALLOWANCE: Allowance = Allowance {
    burst: 5,
    refill: Duration::hours(1),
};

/// `false` when it was one too many. What does not go now is not counted, since it comes again.
pub(super) async fn deliver(
    identity: &Identity,
    mail: &Mail<'_>,
    now: OffsetDateTime,
) -> Result<bool, Unsendable> {
    let index = identity.secrets.email_index(mail.to);
    let kind = mail.letter.kind();
    let allowed = {
        let db = identity.pool.get().await?;
        mail_allowances::spend(&*db, &index, kind, ALLOWANCE, now).await?
    };
    if !allowed {
        return Ok(false);
    }
    let sent = identity.mailer.send(mail, now).await;
    if let Err(Unsendable::Unexpected(_)) = &sent {
        let db = identity.pool.get().await?;
        mail_allowances::give_back(&*db, &index, kind, ALLOWANCE).await?;
    }
    sent.map(|()| true)
}
