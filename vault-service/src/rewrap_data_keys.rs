//! Wraps data keys under the master key that wraps now. The plaintext never leaves this function, so no proof of a person is
//! wanted, and their owners can do it for everybody at once.

use time::OffsetDateTime;

use crate::{
    Vault,
    audit::Actor,
    domain::{
        policy::{Caller, Operation},
        wrapped_key::WrappedKey,
    },
    unwrap_data_keys::{
        Item, ItemRefused, Opening, UnwrapError, note_older, read, recorded, shown,
    },
};

/// Each item stands alone, and the order is kept. What is wrapped anew or refused is on record before the answer; a key that
/// comes back as it was is not.
pub(crate) async fn rewrap_data_keys(
    vault: &Vault,
    caller: Caller,
    items: &[Item<'_>],
    now: OffsetDateTime,
) -> Result<Vec<Result<WrappedKey, ItemRefused>>, UnwrapError> {
    let operation = Operation::Rewrap;
    let number = u32::try_from(items.len()).unwrap_or(u32::MAX);
    vault.limits.admit_rewraps(caller.service, number, now)?;
    let questions: Vec<_> = items
        .iter()
        .map(|item| read(caller, operation, item))
        .collect();
    let keyring = vault.keys.open()?;
    let opening = Opening::prepare(vault, &keyring, &questions, operation).await?;
    let actor = Actor::calling(caller.service, now);
    // Another may wrap before the end of this request: what is wrapped anew must be recorded as that.
    let current = keyring.current();
    let shown: Vec<_> = questions.iter().map(shown).collect();
    let (answers, entries): (Vec<_>, Vec<_>) = questions
        .into_iter()
        .map(|question| {
            let same = |wrapped: &WrappedKey| wrapped.mek_version() == current;
            let is_same = question
                .as_ref()
                .is_ok_and(|(_, it)| it.as_ref().is_ok_and(same));
            let (answer, entry) = recorded(actor, operation, question, |place, wrapped| {
                let key = opening.open(place, wrapped)?;
                if same(wrapped) {
                    return Ok(wrapped.clone());
                }
                let salt = opening.salt(place.subject)?;
                Ok(keyring.wrap(salt, place, wrapped.dek_id(), &key))
            });
            let entry = Some(entry).filter(|_| !(is_same && answer.is_ok()));
            (answer, entry)
        })
        .unzip();
    let entries: Vec<_> = entries.into_iter().flatten().collect();
    if !entries.is_empty() {
        vault.audit.append(entries).await?;
    }
    // What comes of the new ones is not known yet.
    note_older(vault, &keyring, (shown, &answers), now).await?;
    Ok(answers)
}
