//! A new data key for one owner, person and purpose: wrapped for storing, in the clear when asked for.

use std::collections::HashSet;

use shared::{
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected},
    random,
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    Vault,
    audit::Actor,
    check_master_keys::{absent_among, missing},
    domain::{
        audit_chain::Entry,
        keyring::{KeyVersion, Keyring},
        limits::Reached,
        policy::{self, Caller, Denied, Operation, Purpose},
        slot::{Salt, SlotDamaged},
        wrapped_key::{Place, PlainKey, WrappedKey},
    },
    limits::CALLER_LIMITED,
    refusals::{
        ANOTHER_PERSON, NOT_ALLOWED, PERSON_MISSING, SHRED_PENDING, SHREDDED, SLOT_DAMAGED, denied,
        log_damage,
    },
    store::{self, subjects::Slot},
};

/// What the caller wants a key for. Whose key it is comes from the caller's credentials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) subject: Uuid,
    pub(crate) purpose: Purpose,
}

/// A key that exists from now on.
pub(crate) struct Created {
    pub(crate) wrapped: WrappedKey,
    pub(crate) key: PlainKey,
}

#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Limited(#[from] Reached),
    #[error("No key is made for a subject that is being shredded.")]
    ShredPending,
    #[error("No key is made for a subject that has been shredded.")]
    Shredded,
    #[error("The vault cannot read this person's slot.")]
    SlotDamaged,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Failure for CreateError {
    const CASES: &'static [Case] = &[
        NOT_ALLOWED,
        PERSON_MISSING,
        ANOTHER_PERSON,
        SHRED_PENDING,
        SHREDDED,
        SLOT_DAMAGED,
        CALLER_LIMITED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::Denied(cause) => denied(*cause),
            Self::Limited(reached) => reached.case(),
            Self::ShredPending => &SHRED_PENDING,
            Self::Shredded => &SHREDDED,
            Self::SlotDamaged => &SLOT_DAMAGED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Limited(reached) => Failure::retry_after(reached),
            _ => self.unexpected().and_then(Unexpected::retry_after),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

/// When to come again to a replica that lacks the newest master key.
const BEHIND_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// Makes a key, and records it before it is given away. The first one for a subject also makes its slot.
pub(crate) async fn create_data_key(
    vault: &Vault,
    caller: Caller,
    wanted: Wanted,
    now: OffsetDateTime,
) -> Result<Created, CreateError> {
    let Wanted { subject, purpose } = wanted;
    let place = Place {
        owner: caller.service,
        subject,
        purpose,
    };
    let made = make(vault, caller, &place, now).await;
    // Told by a metric: records of it would be the flood that the limit is against.
    if let Err(CreateError::Limited(_)) = made {
        return made;
    }
    let (outcome, dek_id) = match &made {
        Ok(created) => ("ok", Some(created.wrapped.dek_id())),
        Err(refused) => (refused.case().code, None),
    };
    let actor = Actor::calling(caller.service, now);
    let entry = actor.did("create", outcome).about(&place);
    vault.audit.append(vec![Entry { dek_id, ..entry }]).await?;
    if let Some(dek_id) = dek_id {
        tracing::info!(owner = %place.owner, %subject, %purpose, %dek_id, "data key created");
    }
    made
}

async fn make(
    vault: &Vault,
    caller: Caller,
    place: &Place,
    now: OffsetDateTime,
) -> Result<Created, CreateError> {
    let Place {
        subject, purpose, ..
    } = *place;
    let allowed = policy::allow(caller, Operation::Create, purpose, subject);
    let people = allowed.map_or(&[][..], |()| std::slice::from_ref(&subject));
    vault.limits.admit(caller.service, 1, people, now)?;
    allowed.inspect_err(|cause| {
        tracing::warn!(caller = %caller.service, %subject, %purpose, %cause, "create refused");
    })?;
    let keyring = vault.keys.open()?;
    let salt = match salt_of(vault, &keyring, subject, now).await? {
        Ok(salt) => salt,
        Err(cause) => {
            if let SlotDamaged::UnknownVersion(version) = cause {
                let absent = absent_among(vault, &HashSet::from([version])).await?;
                if absent.missing.contains(&version) {
                    return Err(missing(version).into());
                }
            }
            log_damage(subject, cause);
            return Err(CreateError::SlotDamaged);
        }
    };
    let db = vault.pool.get().await?;
    let key = PlainKey::generate();
    let wrapped = keyring.wrap(&salt, place, random::uuid_v7(now), &key);
    if !store::data_keys::insert(&*db, place, &wrapped, now).await? {
        refuse_outdated(&*db, wrapped.mek_version(), now).await?;
        return Err(CreateError::Shredded);
    }
    Ok(Created { wrapped, key })
}

/// The subject's salt, made now if there is none yet. Of two first requests at once, one slot stays and
/// both use it.
async fn salt_of(
    vault: &Vault,
    keyring: &Keyring,
    subject: Uuid,
    now: OffsetDateTime,
) -> Result<Result<Salt, SlotDamaged>, CreateError> {
    let db = &*vault.pool.get().await?;
    let slot = if let Some(slot) = store::subjects::slot(db, subject).await? {
        slot
    } else {
        let (version, sealed) = keyring.seal_salt(subject, &Salt::generate());
        store::subjects::insert_first(db, subject, (version, &sealed), now).await?;
        let Some(slot) = store::subjects::slot(db, subject).await? else {
            refuse_outdated(db, version, now).await?;
            let gone = format!("the new slot of subject {subject} is gone");
            return Err(Unexpected::bug(gone).into());
        };
        slot
    };
    match slot {
        Slot::Sealed(sealed) => Ok(keyring.open_salt(subject, &sealed)),
        Slot::Pending(_) => Err(CreateError::ShredPending),
        Slot::Shredded => Err(CreateError::Shredded),
    }
}

/// Another version wraps for all others, and this replica does not have it.
async fn refuse_outdated(
    db: &impl GenericClient,
    version: KeyVersion,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    if store::master_keys::still_wraps(db, version, now).await? {
        return Ok(());
    }
    let behind = format!("master key version {version} wraps no more, and no newer one is here");
    Err(Unexpected::unavailable(behind, BEHIND_RETRY))
}
