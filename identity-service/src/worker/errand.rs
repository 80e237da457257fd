//! Decides what mail follows from what somebody asked for.

use shared::{problem::Unexpected, random, user_id::UserId};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{delivery::deliver, notice};
use crate::{
    Identity,
    applicant::Applicant,
    domain::{
        email_address::EmailAddress,
        sealed::Column,
        single_use_token::{Purpose, SingleUseToken},
    },
    mail::{Errand, Letter, Mail, Occasion, Unsendable},
    outbox_key::Opened,
    person_key,
    store::{
        accounts,
        address_changes::{self, AddressChange},
        outbox::{Message, Sealed},
        password_resets,
        pending_signups::{self, Pending},
    },
};

/// Sign-ups of one address that are mailed again at a time.
const AGAIN: i64 = 3;
/// How long a reset, or an address, waits from the mail on.
pub(super) const GOOD_FOR: Duration = Duration::minutes(30);

const NOBODY: &str = "a reset for an account that is gone or disabled: no mail";

/// What became of it, for the log.
pub(super) async fn run(
    identity: &Identity,
    message: &Message,
    sealed: &Sealed,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    // Tampered with, or of a newer version of this service: never sent, and left for another try.
    let errand = Errand::open(message.id, sealed, key)
        .ok_or_else(|| Unexpected::bug("the message does not open"))?;
    match errand {
        Errand::Signup { pending_id } => signed_up(identity, pending_id, key, now).await,
        Errand::Resend { email } => asked_again(identity, &email, key, now).await,
        Errand::ForgotPassword { email, network } => {
            let occasion = Occasion {
                at: message.created_at,
                network: Some(&network),
            };
            forgot(identity, &email, occasion, now).await
        }
        Errand::ChangeEmail {
            user_id,
            epoch,
            email,
            network,
        } => {
            let occasion = Occasion {
                at: message.created_at,
                network: Some(&network),
            };
            let address = parsed(&email)?;
            let wanted = Wanted {
                user_id,
                epoch,
                address,
            };
            address_wanted(identity, &wanted, occasion, now).await
        }
        Errand::AddressChanged { email, network } => {
            let occasion = Occasion {
                at: message.created_at,
                network: Some(&network),
            };
            address_changed(identity, message.id, &email, occasion, now).await
        }
        Errand::ResetRequired { user_id } => {
            let occasion = Occasion {
                at: message.created_at,
                network: None,
            };
            reset_required(identity, user_id, occasion, now).await
        }
        Errand::AccountDeleted {
            email,
            requested_at,
            purge_at,
        } => account_deleted(identity, message.id, &email, (requested_at, purge_at), now).await,
    }
}

/// The address from before is told.
async fn address_changed(
    identity: &Identity,
    id: Uuid,
    email: &str,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let mail = Mail {
        id,
        to: &parsed(email)?,
        letter: Letter::AddressChanged,
        occasion,
    };
    let told = deliver(identity, &mail, now).await?;
    Ok(if told {
        "another address: the one before is told"
    } else {
        "another address, one mail too many: no mail"
    })
}

/// Whoever had the account is told until when they can have it back.
async fn account_deleted(
    identity: &Identity,
    id: Uuid,
    email: &str,
    (at, until): (OffsetDateTime, OffsetDateTime),
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let mail = Mail {
        id,
        to: &parsed(email)?,
        letter: Letter::AccountDeleted { until },
        occasion: Occasion { at, network: None },
    };
    let told = deliver(identity, &mail, now).await?;
    Ok(if told {
        "a deletion: whoever had the account is told"
    } else {
        "a deletion, one mail too many: no mail"
    })
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
    let Some(applicant) = Applicant::open(&pending, key) else {
        return Ok("the sign-up does not open: no mail");
    };
    if !has_account(identity, &applicant.address).await? {
        let asked = ask_to_confirm(identity, &pending, &applicant, now).await?;
        return Ok(if asked {
            "signed up: a confirmation is asked for"
        } else {
            "signed up, one mail too many: no mail"
        });
    }
    let mail = Mail {
        id: pending.id,
        to: &applicant.address,
        letter: Letter::SomebodySignedUp,
        occasion: applicant.occasion(&pending),
    };
    let told = deliver(identity, &mail, now).await?;
    // Nobody will ever be able to confirm it.
    pending_signups::take(&*identity.pool.get().await?, pending.id).await?;
    Ok(if told {
        "signed up with the address of an account: its owner is told"
    } else {
        "signed up with the address of an account, one mail too many: no mail"
    })
}

/// Every waiting sign-up of the address gets a mail of its own, which says when and from where *it* came:
/// one mail for the newest would let a stranger's sign-up pass for the one that was asked about.
async fn asked_again(
    identity: &Identity,
    email: &str,
    key: &Opened,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let address = parsed(email)?;
    if has_account(identity, &address).await? {
        return Ok("asked again for the address of an account: no mail");
    }
    let waiting = {
        let indexes = identity.secrets.email_indexes(&address);
        let db = identity.pool.get().await?;
        pending_signups::newest(&*db, &indexes, AGAIN, now).await?
    };
    for pending in &waiting {
        let Some(applicant) = Applicant::open(pending, key) else {
            continue;
        };
        if !ask_to_confirm(identity, pending, &applicant, now).await? {
            return Ok("asked again, more often than is answered: not every mail went");
        }
    }
    Ok(if waiting.is_empty() {
        "asked again, but no sign-up waits: no mail"
    } else {
        "asked again: confirmations are asked for"
    })
}

/// A token that exists in this mail alone; `false` when the mail was one too many.
async fn ask_to_confirm(
    identity: &Identity,
    pending: &Pending,
    applicant: &Applicant,
    now: OffsetDateTime,
) -> Result<bool, Unsendable> {
    let token = SingleUseToken::generate(Purpose::Verification, pending.id);
    let known = {
        let (hash, db) = (token.hash(&identity.secrets), identity.pool.get().await?);
        pending_signups::add_token(&*db, pending.id, &hash).await?
    };
    if !known {
        return Ok(true);
    }
    let mail = Mail {
        id: random::uuid_v7(now),
        to: &applicant.address,
        letter: Letter::ConfirmAddress {
            token: token.expose(),
        },
        occasion: applicant.occasion(pending),
    };
    deliver(identity, &mail, now).await
}

/// A token for the owner of the account, if there is one.
async fn forgot(
    identity: &Identity,
    email: &str,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let address = parsed(email)?;
    let owner = {
        let indexes = identity.secrets.email_indexes(&address);
        accounts::credentials(&*identity.pool.get().await?, &indexes).await?
    };
    let Some(owner) = owner else {
        return Ok("a reset for an address whose account is unknown: no mail");
    };
    let Some(token) = reset_token(identity, owner.user_id, now).await? else {
        return Ok(NOBODY);
    };
    let letter = Letter::ResetPassword {
        token: token.expose(),
    };
    send_reset(identity, owner.user_id, letter, occasion, now).await
}

/// A token for the owner of an account whose password is void.
async fn reset_required(
    identity: &Identity,
    owner: UserId,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let Some(token) = reset_token(identity, owner, now).await? else {
        return Ok(NOBODY);
    };
    let letter = Letter::ResetRequired {
        token: token.expose(),
    };
    send_reset(identity, owner, letter, occasion, now).await
}

/// A token that exists in the next mail alone; `None` when the account is gone or disabled.
async fn reset_token(
    identity: &Identity,
    owner: UserId,
    now: OffsetDateTime,
) -> Result<Option<SingleUseToken>, Unsendable> {
    let token = SingleUseToken::generate(Purpose::PasswordReset, owner.uuid());
    let (hash, db) = (token.hash(&identity.secrets), identity.pool.get().await?);
    let known = password_resets::insert(&*db, &hash, owner, now + GOOD_FOR, now).await?;
    Ok(known.then_some(token))
}

/// To the address as its owner wrote it, and not as whoever asked did.
async fn send_reset(
    identity: &Identity,
    owner: UserId,
    letter: Letter<'_>,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let Some(address) = notice::address_of(identity, owner, now).await? else {
        return Ok(NOBODY);
    };
    let mail = Mail {
        id: random::uuid_v7(now),
        to: &address,
        letter,
        occasion,
    };
    let sent = deliver(identity, &mail, now).await?;
    Ok(if sent {
        "a reset: the owner of the account has a token"
    } else {
        "a reset, one mail too many: no mail"
    })
}

/// An address that somebody wants for their account.
struct Wanted {
    user_id: UserId,
    epoch: i64,
    address: EmailAddress,
}

/// A token for whoever reads the mails of the address, unless it has an account: then its owner is told.
async fn address_wanted(
    identity: &Identity,
    wanted: &Wanted,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let owner = {
        let indexes = identity.secrets.email_indexes(&wanted.address);
        let db = identity.pool.get().await?;
        accounts::credentials(&*db, &indexes).await?
    };
    match owner {
        // One's own address may be spelled anew.
        Some(owner) if owner.user_id != wanted.user_id => {
            tell_owner(identity, owner.user_id, occasion, now).await
        }
        _ => ask_for_new_address(identity, wanted, occasion, now).await,
    }
}

async fn tell_owner(
    identity: &Identity,
    owner: UserId,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let Some(address) = notice::address_of(identity, owner, now).await? else {
        return Ok("the address of a disabled account is wanted: no mail");
    };
    let mail = Mail {
        id: random::uuid_v7(now),
        to: &address,
        letter: Letter::AddressWanted,
        occasion,
    };
    let told = deliver(identity, &mail, now).await?;
    Ok(if told {
        "the address of an account is wanted: its owner is told"
    } else {
        "the address of an account is wanted, one mail too many: no mail"
    })
}

async fn ask_for_new_address(
    identity: &Identity,
    wanted: &Wanted,
    occasion: Occasion<'_>,
    now: OffsetDateTime,
) -> Result<&'static str, Unsendable> {
    let gone = "an address is wanted for an account that is not what it was: no mail";
    let user = wanted.user_id;
    let Some(key) = person_key::opened(identity, user, now).await? else {
        return Ok(gone);
    };
    let id = random::uuid_v7(now);
    let token = SingleUseToken::generate(Purpose::AddressChange, id);
    let place = Column::NewAddress.of(user.uuid(), id);
    let sealed = key.seal(&place, wanted.address.typed().as_bytes());
    let change = AddressChange {
        id,
        user_id: user,
        epoch: wanted.epoch,
        email_sealed: sealed.expect("an address is short"),
    };
    let known = {
        let (hash, db) = (token.hash(&identity.secrets), identity.pool.get().await?);
        address_changes::insert(&*db, &change, &hash, now + GOOD_FOR, now).await?
    };
    if !known {
        return Ok(gone);
    }
    let mail = Mail {
        id,
        to: &wanted.address,
        letter: Letter::ConfirmNewAddress {
            token: token.expose(),
        },
        occasion,
    };
    let asked = deliver(identity, &mail, now).await?;
    Ok(if asked {
        "an address is wanted: it is asked to confirm"
    } else {
        "an address is wanted, one mail too many: no mail"
    })
}

fn parsed(email: &str) -> Result<EmailAddress, Unexpected> {
    let address = EmailAddress::parse(email);
    address.ok_or_else(|| Unexpected::bug("an errand without an address"))
}

async fn has_account(identity: &Identity, address: &EmailAddress) -> Result<bool, Unexpected> {
    let indexes = identity.secrets.email_indexes(address);
    accounts::exists(&*identity.pool.get().await?, &indexes).await
}
