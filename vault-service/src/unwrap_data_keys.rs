//! Opens wrapped data keys for their owner, up to a hundred at once. Each item stands alone: one that is
//! refused never fails the rest, and the order of the answers is the order of the questions.

use std::collections::{HashMap, HashSet};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use shared::problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Vault,
    audit::Actor,
    check_master_keys::check_for_newer_master_keys,
    domain::{
        audit_chain::Entry,
        keyring::KeyVersion,
        limits::Reached,
        policy::{self, Caller, Denied, Operation, Service},
        slot::{Salt, SlotDamaged},
        wrapped_key::{Malformed, Place, PlainKey, Refused, WrappedKey},
    },
    limits::CALLER_LIMITED,
    refusals::log_damage,
    store::subjects::Slot,
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

/// Why nothing was opened at all.
#[derive(Debug, Error)]
pub(crate) enum UnwrapError {
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for UnwrapError {
    const CASES: &'static [Case] = &[CALLER_LIMITED, INTERNAL, UNAVAILABLE];

    fn case(&self) -> &'static Case {
        match self {
            Self::Limited(reached) => reached.case(),
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Limited(reached) => Failure::retry_after(reached),
            Self::Unexpected(unexpected) => unexpected.retry_after(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Limited(_) => None,
            Self::Unexpected(unexpected) => Some(unexpected),
        }
    }
}

/// What became of an item.
type Answer = Result<PlainKey, ItemRefused>;

impl ItemRefused {
    /// The stable word for it, as the answer and the audit have it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Denied(Denied::NotAllowed) | Self::UnknownPurpose => "not_allowed",
            Self::Denied(Denied::PersonMissing) => "user_token_required",
            Self::Denied(Denied::AnotherPerson) => "user_token_mismatch",
            Self::NotAnId | Self::NoSlot => "unknown_subject",
            Self::ShredPending => "shred_pending",
            Self::Shredded => "shredded",
            Self::SlotDamaged(_) => "slot_damaged",
            Self::WrappedKey(_) => "wrapped_key_refused",
        }
    }
}

/// Opens what may be opened, and records all of it before anything is given away. Fails as a whole only when the vault
/// cannot look at any item, cannot record them, or is asked for too much.
pub(crate) async fn unwrap_data_keys(
    vault: &Vault,
    caller: Caller,
    items: &[Item<'_>],
    now: OffsetDateTime,
) -> Result<Vec<Answer>, UnwrapError> {
    let questions: Vec<_> = items.iter().map(|item| read(caller, item)).collect();
    let people = questions.iter().flatten();
    let people = people.filter(|(_, wrapped)| !matches!(wrapped, Err(ItemRefused::Denied(_))));
    let people: Vec<_> = people.map(|(place, _)| place.subject).collect();
    let number = u32::try_from(items.len()).unwrap_or(u32::MAX);
    vault.limits.admit(caller.service, number, &people, now)?;
    let places = questions.iter().flatten();
    let places = places.filter(|(_, wrapped)| wrapped.is_ok());
    let salts = salts_of(vault, places.map(|(place, _)| place.subject).collect()).await?;
    let actor = Actor::calling(caller.service, now);
    let (answers, entries): (Vec<_>, Vec<_>) = questions
        .into_iter()
        .map(|question| open(vault, &salts, actor, question))
        .unzip();
    let wanted: Vec<_> = answers.iter().filter_map(wanted_master_key).collect();
    vault.audit.append(entries).await?;
    check_for_newer_master_keys(vault, &wanted).await?;
    Ok(answers)
}

/// One item's answer and its record.
fn open(vault: &Vault, salts: &Salts, actor: Actor, question: Question) -> (Answer, Entry) {
    let (place, wrapped) = match question {
        Ok(question) => question,
        Err(cause) => {
            let caller = actor.caller.map(Service::name);
            tracing::warn!(caller, %cause, "unwrap refused");
            return (Err(cause), actor.did("unwrap", cause.code()));
        }
    };
    let dek_id = wrapped.as_ref().ok().map(WrappedKey::dek_id);
    let answer = wrapped.and_then(|wrapped| answer(vault, salts, &place, &wrapped));
    if let Err(cause) = &answer {
        let Place {
            owner,
            subject,
            purpose,
        } = place;
        let dek_id = dek_id.map(tracing::field::display);
        tracing::warn!(%owner, %subject, %purpose, dek_id, %cause, "unwrap refused");
    }
    let outcome = answer.as_ref().err().map_or("ok", |cause| cause.code());
    let entry = actor.did("unwrap", outcome).about(&place);
    (answer, Entry { dek_id, ..entry })
}

/// The master key that was not here for it.
fn wanted_master_key(answer: &Answer) -> Option<KeyVersion> {
    match answer {
        Err(
            ItemRefused::WrappedKey(Refused::UnknownVersion(version))
            | ItemRefused::SlotDamaged(SlotDamaged::UnknownVersion(version)),
        ) => Some(*version),
        _ => None,
    }
}

type Salts = HashMap<Uuid, Result<Salt, ItemRefused>>;

/// Where the key belongs, and the key itself, as far as either could be read and may be opened.
type Question = Result<(Place, Result<WrappedKey, ItemRefused>), ItemRefused>;

fn read(caller: Caller, item: &Item<'_>) -> Question {
    let purpose = item.purpose.parse();
    let subject = item.subject.parse::<Uuid>();
    let place = Place {
        owner: caller.service,
        subject: subject.map_err(|_| ItemRefused::NotAnId)?,
        purpose: purpose.map_err(|_| ItemRefused::UnknownPurpose)?,
    };
    Ok((place, allowed(caller, &place, item.wrapped_key)))
}

/// The policy is asked before any look at the wrapped key.
fn allowed(caller: Caller, place: &Place, wrapped: &str) -> Result<WrappedKey, ItemRefused> {
    policy::allow(caller, Operation::Unwrap, place.purpose, place.subject)?;
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(wrapped)
        .map_err(|_| Refused::Malformed(Malformed::Encoding))?;
    Ok(WrappedKey::parse(&bytes).map_err(Refused::Malformed)?)
}

/// The salts of every subject that is asked about, opened once each.
async fn salts_of(vault: &Vault, subjects: HashSet<Uuid>) -> Result<Salts, Unexpected> {
    if subjects.is_empty() {
        return Ok(Salts::new());
    }
    let found = vault.slots.of(subjects.iter().copied().collect()).await?;
    let open = |subject, slot: &Slot| match slot {
        Slot::Sealed(sealed) => vault
            .keyring
            .open_salt(subject, sealed)
            .inspect_err(|cause| log_damage(subject, *cause))
            .map_err(ItemRefused::from),
        Slot::Pending => Err(ItemRefused::ShredPending),
        Slot::Shredded => Err(ItemRefused::Shredded),
    };
    Ok(subjects
        .into_iter()
        .filter_map(|subject| Some((subject, open(subject, found.get(&subject)?))))
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
