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
    check_master_keys::{Absent, absent_among},
    domain::{
        audit_chain::Entry,
        keyring::{KeyVersion, Keyring},
        limits::Reached,
        policy::{self, Caller, Denied, Operation, Service},
        slot::{Salt, SlotDamaged},
        wrapped_key::{Malformed, Place, PlainKey, Refused, WrappedKey},
    },
    limits::CALLER_LIMITED,
    refusals::log_damage,
    store::{
        data_keys::{self, Shown},
        subjects::Slot,
    },
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
    #[error("wrapped under master key version {0}, which has been destroyed")]
    MasterKeyDestroyed(KeyVersion),
    #[error("wrapped under master key version {0}, which is not here")]
    MasterKeyMissing(KeyVersion),
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
            Self::MasterKeyDestroyed(_) => "master_key_destroyed",
            Self::MasterKeyMissing(_) => "master_key_missing",
            Self::WrappedKey(_) => "wrapped_key_refused",
        }
    }
}

/// Opens what may be opened, and records all of it before anything is given away. Fails as a whole only when the vault
/// cannot look at any item, cannot record them, or is asked for too much: no item fails another one.
pub(crate) async fn unwrap_data_keys(
    vault: &Vault,
    caller: Caller,
    items: &[Item<'_>],
    now: OffsetDateTime,
) -> Result<Vec<Answer>, UnwrapError> {
    let operation = Operation::Unwrap;
    let questions: Vec<_> = items
        .iter()
        .map(|item| read(caller, operation, item))
        .collect();
    let people = questions.iter().flatten();
    let people = people.filter(|(_, wrapped)| !matches!(wrapped, Err(ItemRefused::Denied(_))));
    let people: Vec<_> = people.map(|(place, _)| place.subject).collect();
    let number = u32::try_from(items.len()).unwrap_or(u32::MAX);
    vault.limits.admit(caller.service, number, &people, now)?;
    let keyring = vault.keys.open()?;
    let opening = Opening::prepare(vault, &keyring, &questions, operation).await?;
    let actor = Actor::calling(caller.service, now);
    let shown: Vec<_> = questions.iter().map(shown).collect();
    let (answers, entries): (Vec<_>, Vec<_>) = questions
        .into_iter()
        .map(|question| opening.unwrap(actor, question))
        .unzip();
    vault.audit.append(entries).await?;
    note_older(vault, &keyring, (shown, &answers), now).await?;
    Ok(answers)
}

/// Counts what opened under an older master key as still kept so by its owner, whatever that has said.
pub(crate) async fn note_older<T>(
    vault: &Vault,
    keyring: &Keyring,
    (shown, answers): (Vec<Option<Shown>>, &[Result<T, ItemRefused>]),
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let opened = shown.into_iter().zip(answers);
    let opened = opened.filter_map(|(shown, answer)| answer.as_ref().ok().and(shown));
    let older: Vec<_> = opened
        .filter(|shown| shown.version < keyring.current())
        .collect();
    if !older.is_empty() {
        data_keys::still_under(&*vault.pool.get().await?, &older, now).await?;
    }
    Ok(())
}

type Salts = HashMap<Uuid, Result<Salt, ItemRefused>>;

/// Where the key belongs, and the key itself, as far as either could be read and may be opened.
pub(crate) type Question = Result<(Place, Result<WrappedKey, ItemRefused>), ItemRefused>;

/// What opens the keys of one request.
pub(crate) struct Opening<'a> {
    keyring: &'a Keyring,
    salts: Salts,
    /// The master keys of these keys and slots that are not here.
    absent: Absent,
}

impl<'a> Opening<'a> {
    /// Everything that the database is asked for, for all questions together.
    pub(crate) async fn prepare(
        vault: &Vault,
        keyring: &'a Keyring,
        questions: &[Question],
        operation: Operation,
    ) -> Result<Self, Unexpected> {
        let readable = questions.iter().flatten();
        let readable =
            readable.filter_map(|(place, wrapped)| Some((place, wrapped.as_ref().ok()?)));
        let subjects = readable.clone().map(|(place, _)| place.subject).collect();
        let salts = salts_of(vault, keyring, operation, subjects).await?;
        let of_slots = salts.values().filter_map(|salt| match salt {
            Err(ItemRefused::SlotDamaged(SlotDamaged::UnknownVersion(version))) => Some(*version),
            _ => None,
        });
        let wanted = readable.map(|(_, wrapped)| wrapped.mek_version());
        let wanted = wanted.filter(|version| !keyring.holds(*version));
        let wanted = wanted.chain(of_slots).collect();
        Ok(Self {
            absent: absent_among(vault, &wanted).await?,
            keyring,
            salts,
        })
    }

    /// Opens one key.
    pub(crate) fn open(&self, place: &Place, wrapped: &WrappedKey) -> Answer {
        let version = wrapped.mek_version();
        if self.absent.destroyed.contains(&version) {
            return Err(ItemRefused::MasterKeyDestroyed(version));
        }
        if self.absent.missing.contains(&version) {
            return Err(ItemRefused::MasterKeyMissing(version));
        }
        let salt = self.salt(place.subject)?;
        Ok(self.keyring.unwrap(salt, place, wrapped)?)
    }

    pub(crate) fn salt(&self, subject: Uuid) -> Result<&Salt, ItemRefused> {
        let salt = self.salts.get(&subject).ok_or(ItemRefused::NoSlot)?;
        salt.as_ref().map_err(|cause| match *cause {
            ItemRefused::SlotDamaged(SlotDamaged::UnknownVersion(version))
                if self.absent.missing.contains(&version) =>
            {
                ItemRefused::MasterKeyMissing(version)
            }
            cause => cause,
        })
    }

    /// One item's answer and its record.
    fn unwrap(&self, actor: Actor, question: Question) -> (Answer, Entry) {
        let operation = Operation::Unwrap;
        recorded(actor, operation, question, |place, wrapped| {
            self.open(place, wrapped)
        })
    }
}

/// Which key is shown, and the master key it depends on, as its header says.
pub(crate) fn shown(question: &Question) -> Option<Shown> {
    let (place, wrapped) = question.as_ref().ok()?;
    let wrapped = wrapped.as_ref().ok()?;
    Some(Shown {
        place: *place,
        dek_id: wrapped.dek_id(),
        version: wrapped.mek_version(),
    })
}

/// What became of one item, and the record of it.
pub(crate) fn recorded<T>(
    actor: Actor,
    operation: Operation,
    question: Question,
    answer: impl FnOnce(&Place, &WrappedKey) -> Result<T, ItemRefused>,
) -> (Result<T, ItemRefused>, Entry) {
    let operation = operation.name();
    let (place, wrapped) = match question {
        Ok(question) => question,
        Err(cause) => {
            let caller = actor.caller.map(Service::name);
            tracing::warn!(caller, operation, %cause, "refused");
            return (Err(cause), actor.did(operation, cause.code()));
        }
    };
    let dek_id = wrapped.as_ref().ok().map(WrappedKey::dek_id);
    let answer = wrapped.and_then(|wrapped| answer(&place, &wrapped));
    if let Err(cause) = &answer {
        let Place {
            owner,
            subject,
            purpose,
        } = place;
        let dek_id = dek_id.map(tracing::field::display);
        tracing::warn!(%owner, %subject, %purpose, dek_id, operation, %cause, "refused");
    }
    let outcome = answer.as_ref().err().map_or("ok", |cause| cause.code());
    let entry = actor.did(operation, outcome).about(&place);
    (answer, Entry { dek_id, ..entry })
}

/// What an item asks, as far as the policy lets it.
pub(crate) fn read(caller: Caller, operation: Operation, item: &Item<'_>) -> Question {
    let purpose = item.purpose.parse();
    let subject = item.subject.parse::<Uuid>();
    let place = Place {
        owner: caller.service,
        subject: subject.map_err(|_| ItemRefused::NotAnId)?,
        purpose: purpose.map_err(|_| ItemRefused::UnknownPurpose)?,
    };
    let wrapped = allowed(caller, operation, &place, item.wrapped_key);
    Ok((place, wrapped))
}

/// The policy is asked before any look at the wrapped key.
fn allowed(
    caller: Caller,
    operation: Operation,
    place: &Place,
    wrapped: &str,
) -> Result<WrappedKey, ItemRefused> {
    policy::allow(caller, operation, place.purpose, place.subject)?;
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(wrapped)
        .map_err(|_| Refused::Malformed(Malformed::Encoding))?;
    Ok(WrappedKey::parse(&bytes).map_err(Refused::Malformed)?)
}

/// The salts of every subject that is asked about, opened once each.
async fn salts_of(
    vault: &Vault,
    keyring: &Keyring,
    operation: Operation,
    subjects: HashSet<Uuid>,
) -> Result<Salts, Unexpected> {
    if subjects.is_empty() {
        return Ok(Salts::new());
    }
    let found = vault.slots.of(subjects.iter().copied().collect()).await?;
    let open = |subject, slot: &Slot| {
        let sealed = match slot {
            Slot::Sealed(sealed) => sealed,
            // It may be taken back, and then everything has to be there.
            Slot::Pending(sealed) if operation == Operation::Rewrap => sealed,
            Slot::Pending(_) => return Err(ItemRefused::ShredPending),
            Slot::Shredded => return Err(ItemRefused::Shredded),
        };
        let salt = keyring.open_salt(subject, sealed);
        Ok(salt.inspect_err(|cause| log_damage(subject, *cause))?)
    };
    Ok(subjects
        .into_iter()
        .filter_map(|subject| Some((subject, open(subject, found.get(&subject)?))))
        .collect())
}
