//! Whoever reads the mails of a new address confirms it: from now on it is the account's, to log in with and to be
//! mailed at.
//!
//! The epoch goes up, and the sessions that go on go along: what waited for the old address (a reset of the password, a
//! challenge, another change) is void, and nothing that was begun before can write the old address back.

use secrecy::SecretString;
use shared::{
    access_token::CROSS_SITE,
    problem::{Case, Failure, INTERNAL, RECORD_UNREADABLE, UNAVAILABLE, Unexpected},
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{
        device_token::{self, Holder},
        email_address::EmailAddress,
        event::Event,
        sealed::Column,
        single_use_token::{Purpose, SingleUseToken},
        token_type::NotOurs,
    },
    events,
    mail::Errand,
    me, outbox_key,
    refresh::WRONG_TYPE,
    store::{
        accounts,
        address_changes::{self, AddressChange},
        outbox::{self, Message},
        pending_signups, sessions,
    },
};

/// A confirmation as it came.
pub(crate) struct Confirmation {
    pub(crate) token: SecretString,
    pub(crate) device: Device,
}

#[derive(Debug, Error)]
pub(crate) enum ConfirmEmailError {
    /// Unknown, used, expired, tampered with in the database, or overtaken by something that raised the epoch: a client
    /// can do the same about each.
    #[error("Ask for another mail.")]
    InvalidToken,
    #[error("The token from a mail about a new address is needed here.")]
    WrongTokenType,
    /// A page of another site asks for cookies.
    #[error("This page may not make the device known.")]
    CrossSite,
    /// Told only to somebody who reads the mails of the address.
    #[error("Another account was given this address meanwhile.")]
    Taken,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_TOKEN: Case = Case::new(
    400,
    "invalid_address_token",
    "The token is not one that an address can be confirmed with",
);
const TAKEN: Case = Case::new(409, "address_taken", "The address has an account");

impl Failure for ConfirmEmailError {
    const CASES: &'static [Case] = &[
        INVALID_TOKEN,
        WRONG_TYPE,
        CROSS_SITE,
        TAKEN,
        RECORD_UNREADABLE,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::Taken => &TAKEN,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<NotOurs> for ConfirmEmailError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

/// Gives the account its new address; what the device has for having confirmed it, as those from before are void. Of
/// several confirmations of one address at once, one succeeds.
pub(crate) async fn confirm_email(
    identity: &Identity,
    confirmation: Confirmation,
    now: OffsetDateTime,
) -> Result<SecretString, ConfirmEmailError> {
    let token = SingleUseToken::presented(Purpose::AddressChange, confirmation.token)?;
    let token = token.sought(&identity.secrets);
    let change = address_changes::find(&*identity.pool.get().await?, &token, now).await?;
    let change = change.ok_or(ConfirmEmailError::InvalidToken)?;
    let prepared = prepare(identity, change, confirmation.device, now).await?;
    let holder = prepared.store(identity, now).await?;
    identity.outbox_filled.notify_one();
    Ok(device_token::issue(&identity.secrets, holder, now))
}

/// A change that only has to be stored.
struct Prepared {
    change: AddressChange,
    address: EmailAddress,
    /// As the account is to have it.
    email_sealed: Vec<u8>,
    /// To the address from before.
    notice: Message,
    sighting: Sighting,
}

/// Asks the vault, so it comes before the transaction.
async fn prepare(
    identity: &Identity,
    change: AddressChange,
    device: Device,
    now: OffsetDateTime,
) -> Result<Prepared, ConfirmEmailError> {
    let user = change.user_id;
    let profile = accounts::profile(&*identity.pool.get().await?, user).await?;
    let profile = profile.ok_or(ConfirmEmailError::InvalidToken)?;
    let key = profile.key.open(identity, now).await?;
    let place = Column::NewAddress.of(user.uuid(), change.id);
    let opened = key.open(&place, &change.email_sealed).ok();
    let address = opened
        .and_then(|text| EmailAddress::parse(str::from_utf8(&text).ok()?))
        .ok_or_else(|| {
            tracing::error!(user.id = %user, "a change of address was tampered with: it does not open");
            ConfirmEmailError::InvalidToken
        })?;
    let place = Column::AccountEmail.of(user.uuid(), user.uuid());
    let email_sealed = key
        .seal(&place, address.typed().as_bytes())
        .expect("an address is short");
    let errand = Errand::AddressChanged {
        email: me::address(identity, &profile, now).await?,
        network: device.network.clone(),
    };
    Ok(Prepared {
        change,
        address,
        email_sealed,
        notice: errand.sealed(&outbox_key::opened(identity, now).await?, now),
        sighting: Sighting::of(identity, user, device, now).await,
    })
}

impl Prepared {
    async fn store(
        &self,
        identity: &Identity,
        now: OffsetDateTime,
    ) -> Result<Holder, ConfirmEmailError> {
        let AddressChange {
            id, user_id, epoch, ..
        } = self.change;
        let indexes = identity.secrets.email_indexes(&self.address);
        let email_index = identity.secrets.email_index(&self.address);
        let mut db = identity.pool.get().await?;
        let transaction = db.transaction().await.map_err(Unexpected::from)?;
        if !address_changes::take(&transaction, id).await? {
            return Err(ConfirmEmailError::InvalidToken);
        }
        // Sessions before the account, as everywhere, so that nobody waits in a circle.
        sessions::carry_on(&transaction, user_id, epoch).await?;
        accounts::lock_address(&transaction, &indexes).await?;
        // One's own address may be spelled anew.
        let owner = accounts::credentials(&transaction, &indexes).await?;
        if owner.is_some_and(|owner| owner.user_id != user_id) {
            return Err(ConfirmEmailError::Taken);
        }
        let replaced = accounts::replace_address(
            &transaction,
            user_id,
            epoch,
            &email_index,
            &self.email_sealed,
        );
        let epoch = replaced.await?.ok_or(ConfirmEmailError::InvalidToken)?;
        pending_signups::discard_all(&transaction, &indexes).await?;
        events::record(&transaction, &self.sighting, Event::AddressChanged, now).await?;
        outbox::insert(&transaction, &self.notice).await?;
        transaction.commit().await.map_err(Unexpected::from)?;
        Ok(Holder { user_id, epoch })
    }
}
