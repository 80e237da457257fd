//! Opens wrapped data keys for their owner, up to a hundred at once. Each item stands alone: one that is
//! refused never fails the rest, and the order of the answers is the order of the questions.

use std::collections::{HashMap, HashSet};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::problem::Unexpected;
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        policy::{self, Caller, Denied, Operation},
        slot::{Salt, SlotDamaged},
        wrapped_key::{Malformed, Place, PlainKey, Refused, WrappedKey},
    },
    refusals::log_damage,
    store::{self, subjects::Slot},
};

/// One wrapped key as the caller sent it. Unparsed, so that a bad one is that item's problem alone.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) subject: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) wrapped_key: &'a str,
}

/// Why one item stays closed. The caller learns the code; the cause goes to the log, with ids only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ItemRefused {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("unknown purpose")]
    UnknownPurpose,
    #[error("the subject is not an id")]
    NotAnId,
    #[error("no slot")]
    NoSlot,
    #[error("the subject is being shredded")]
    ShredPending,
    #[error("the subject has been shredded")]
    Shredded,
    #[error("the slot does not open: {0}")]
    SlotDamaged(#[from] SlotDamaged),
    #[error(transparent)]
    WrappedKey(#[from] Refused),
}

/// Opens what may be opened. Fails as a whole only when the vault cannot look at any item.
pub(crate) async fn unwrap_data_keys(
    vault: &Vault,
    caller: Caller,
    items: &[Item<'_>],
) -> Result<Vec<Result<PlainKey, ItemRefused>>, Unexpected> {
    let questions: Vec<_> = items.iter().map(|item| parse(caller, item)).collect();
    let salts = salts_of(vault, questions.iter().flatten()).await?;
    let answers = questions
        .into_iter()
        .map(|question| {
            let (place, wrapped) = question.inspect_err(|cause| {
                tracing::warn!(caller = %caller.service, %cause, "unwrap refused");
            })?;
            answer(vault, &salts, &place, &wrapped).inspect_err(|cause| {
                let Place {
                    owner,
                    subject,
                    purpose,
                } = place;
                let dek_id = wrapped.dek_id();
                tracing::warn!(%owner, %subject, %purpose, %dek_id, %cause, "unwrap refused");
            })
        })
        .collect();
    Ok(answers)
}

type Salts = HashMap<Uuid, Result<Salt, ItemRefused>>;

/// The policy is asked as soon as there is a question, before any look at the wrapped key.
fn parse(caller: Caller, item: &Item<'_>) -> Result<(Place, WrappedKey), ItemRefused> {
    let purpose = item
        .purpose
        .parse()
        .map_err(|_| ItemRefused::UnknownPurpose)?;
    let subject = item
        .subject
        .parse::<Uuid>()
        .map_err(|_| ItemRefused::NotAnId)?;
    policy::allow(caller, Operation::Unwrap, purpose, subject)?;
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(item.wrapped_key)
        .map_err(|_| Refused::Malformed(Malformed::Encoding))?;
    let wrapped = WrappedKey::parse(&bytes).map_err(Refused::Malformed)?;
    let place = Place {
        owner: caller.service,
        subject,
        purpose,
    };
    Ok((place, wrapped))
}

/// The salts of every subject that is asked about, opened once each, from one query.
async fn salts_of(
    vault: &Vault,
    questions: impl Iterator<Item = &(Place, WrappedKey)>,
) -> Result<Salts, Unexpected> {
    let subjects: HashSet<_> = questions.map(|(place, _)| place.subject).collect();
    if subjects.is_empty() {
        return Ok(Salts::new());
    }
    let subjects: Vec<_> = subjects.into_iter().collect();
    let db = vault.pool.get().await?;
    let slots = store::subjects::slots(&*db, &subjects).await?;
    let open = |(subject, slot)| {
        let salt = match slot {
            Slot::Sealed(sealed) => vault
                .keyring
                .open_salt(subject, &sealed)
                .inspect_err(|cause| log_damage(subject, *cause))?,
            Slot::Pending => return Err(ItemRefused::ShredPending),
            Slot::Shredded => return Err(ItemRefused::Shredded),
        };
        Ok(salt)
    };
    Ok(slots
        .into_iter()
        .map(|(subject, slot)| (subject, open((subject, slot))))
        .collect())
}

fn answer(
    vault: &Vault,
    salts: &Salts,
    place: &Place,
    wrapped: &WrappedKey,
) -> Result<PlainKey, ItemRefused> {
    let salt = salts.get(&place.subject).ok_or(ItemRefused::NoSlot)?;
    let salt = salt.as_ref().map_err(|damage| *damage)?;
    Ok(vault.keyring.unwrap(salt, place, wrapped)?)
}
