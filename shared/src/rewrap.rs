//! Keeps a service's stored keys under the master key that wraps now, so that older ones can be destroyed.
//!
//! Every key is wrapped anew by the vault, shown to it once more to see that it opens, and then put in the place of the very
//! bytes it was made from. When no key is left under an older master key, and only then, the vault is told so, and when the
//! look at them began. Wherever this stops, it goes on there: what is done is not behind any more. Several replicas may do it
//! at once.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    clock::Clock,
    postgres::Pool,
    problem::Unexpected,
    serve::Shutdown,
    vault_client::{VaultClient, WrappedKey},
};

/// How often the vault is asked whether there is something to do.
const EVERY: Duration = Duration::from_secs(10);
/// After a pass over all keys, before the next one.
const AFTER_A_PASS: Duration = Duration::from_mins(1);
/// Between two hundreds of keys: with each shown twice, below what the vault lets one service have in a second.
const BETWEEN_BATCHES: Duration = Duration::from_millis(500);

/// How often the same keys are shown to a vault that has no time for them in this second, and how long is waited for it:
/// what other replicas of the service ask for counts together with this.
const TRIES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a service keeps wrapped keys of one purpose, one for each subject.
#[derive(Clone, Copy, Debug)]
pub struct KeyTable {
    /// As the vault's policy names it.
    pub purpose: &'static str,
    /// Gives `subject` and `wrapped_key` of at most a hundred keys under a master key before `$1` (four bytes, big endian)
    /// behind the subject `$2`, in the order of subjects.
    pub behind: &'static str,
    /// For subjects `$1`: puts the keys `$3` in the place of the keys `$2`, where these are still there.
    pub replace: &'static str,
}

/// What rewrapping needs of a service.
pub struct Rewrapping<'a> {
    /// The vault, as the service sees it.
    pub vault: &'a VaultClient,
    /// The service's own database.
    pub pool: &'a Pool,
    /// Every table of wrapped keys.
    pub tables: &'static [KeyTable],
    /// For the tokens that the vault wants.
    pub clock: &'a Clock,
}

/// What became of the keys that were behind.
#[derive(Default)]
struct Pass {
    moved: u64,
    left: u64,
}

impl Rewrapping<'_> {
    /// Works until the shutdown is requested.
    pub async fn run(&self, mut shutdown: Shutdown) {
        let mut looked = None;
        loop {
            let pause = match self.turn(&mut looked, &shutdown).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "rewrapping waits");
                    EVERY
                }
            };
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// `looked` is the version for which all keys have been looked through since the start.
    ///
    /// The first look does not ask whether anything is behind: where this database was restored from a backup, the vault
    /// does not know yet that old keys are back.
    async fn turn(
        &self,
        looked: &mut Option<u32>,
        shutdown: &Shutdown,
    ) -> Result<Duration, Unexpected> {
        let asked = self.vault.current_master_key(self.clock.now()).await;
        let current = asked.map_err(Unexpected::from)?;
        if !current.behind && *looked == Some(current.version) {
            return Ok(EVERY);
        }
        let mut pass = Pass::default();
        for table in self.tables {
            self.pass(table, current.version, &mut pass, shutdown)
                .await?;
        }
        let Pass { moved, left } = pass;
        if shutdown.is_requested() {
            return Ok(EVERY);
        }
        *looked = Some(current.version);
        if !current.behind && moved + left == 0 {
            return Ok(EVERY);
        }
        tracing::info!(
            version = current.version,
            moved,
            left,
            "keys are wrapped anew"
        );
        if left == 0 {
            let settled = self.vault.settle_master_key(current, self.clock.now());
            settled.await.map_err(Unexpected::from)?;
        }
        Ok(AFTER_A_PASS)
    }

    /// Every key of one table that is behind, once.
    async fn pass(
        &self,
        table: &KeyTable,
        version: u32,
        pass: &mut Pass,
        shutdown: &Shutdown,
    ) -> Result<(), Unexpected> {
        let mut after = Uuid::nil();
        while !shutdown.is_requested() {
            let keys = self.behind(table, version, after).await?;
            let Some((last, _)) = keys.last() else {
                break;
            };
            after = *last;
            let (new, left) = self.rewrapped(table, version, &keys).await?;
            let moved = self.replace(table, &new).await?;
            pass.moved += moved;
            // What somebody else has changed meanwhile is looked at again.
            pass.left += left + (new.len() as u64).saturating_sub(moved);
            sleep(BETWEEN_BATCHES).await;
        }
        Ok(())
    }

    async fn behind(
        &self,
        table: &KeyTable,
        version: u32,
        after: Uuid,
    ) -> Result<Vec<(Uuid, WrappedKey)>, Unexpected> {
        let version = version.to_be_bytes();
        // The whole table is read where nothing is behind.
        let db = self.pool.get_for_long().await?;
        let rows = db
            .query_typed(
                table.behind,
                &[(&version.as_slice(), Type::BYTEA), (&after, Type::UUID)],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let wrapped = WrappedKey::from_bytes(row.try_get("wrapped_key")?);
                Ok((row.try_get("subject")?, wrapped))
            })
            .collect()
    }

    /// The new keys that the vault has shown to open, with what they replace, and how many there are none for.
    async fn rewrapped<'k>(
        &self,
        table: &KeyTable,
        version: u32,
        keys: &'k [(Uuid, WrappedKey)],
    ) -> Result<(Vec<Replacement<'k>>, u64), Unexpected> {
        let new = self.shown(table, keys).await?;
        let mut left = 0;
        let mut made = Vec::new();
        for ((subject, before), new) in keys.iter().zip(new) {
            match new {
                Ok(after) if is_the_same_key(before, &after, version) => made.push(Replacement {
                    subject: *subject,
                    before,
                    after,
                }),
                // Nothing opens these again, and their rows are about to go.
                Err(code) if ["shredded", "master_key_destroyed"].contains(&code.as_str()) => {}
                other => {
                    let code = other.err().unwrap_or_else(|| "another key".to_owned());
                    let purpose = table.purpose;
                    tracing::error!(%subject, purpose, code, "a key is not wrapped anew");
                    left += 1;
                }
            }
        }
        let verified = self.verified(table, made, &mut left).await?;
        Ok((verified, left))
    }

    /// What the vault makes of keys, as soon as it has time for them.
    async fn shown(
        &self,
        table: &KeyTable,
        keys: &[(Uuid, WrappedKey)],
    ) -> Result<Vec<Result<WrappedKey, String>>, Unexpected> {
        let mut tries = 0;
        loop {
            let shown = self.vault.rewrap(table.purpose, keys, self.clock.now());
            let error = match shown.await.map_err(Unexpected::from) {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            tries += 1;
            match error.retry_after().filter(|wait| *wait <= PATIENCE) {
                Some(wait) if tries < TRIES => sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    /// Those that the vault opens: it gives a key back as it is when it is under the right master key and opens.
    async fn verified<'k>(
        &self,
        table: &KeyTable,
        made: Vec<Replacement<'k>>,
        left: &mut u64,
    ) -> Result<Vec<Replacement<'k>>, Unexpected> {
        if made.is_empty() {
            return Ok(made);
        }
        let shown: Vec<_> = made
            .iter()
            .map(|it| (it.subject, it.after.clone()))
            .collect();
        let again = self.shown(table, &shown).await?;
        let all = made.len();
        let opens = made.into_iter().zip(again);
        let verified: Vec<_> = opens
            .filter(|(new, again)| again.as_ref() == Ok(&new.after))
            .map(|(new, _)| new)
            .collect();
        *left += (all - verified.len()) as u64;
        Ok(verified)
    }

    async fn replace(&self, table: &KeyTable, new: &[Replacement<'_>]) -> Result<u64, Unexpected> {
        let subjects: Vec<_> = new.iter().map(|it| it.subject).collect();
        let before: Vec<_> = new.iter().map(|it| it.before.bytes()).collect();
        let after: Vec<_> = new.iter().map(|it| it.after.bytes()).collect();
        let db = self.pool.get().await?;
        let replaced = db
            .execute_typed(
                table.replace,
                &[
                    (&subjects, Type::UUID_ARRAY),
                    (&before, Type::BYTEA_ARRAY),
                    (&after, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        Ok(replaced)
    }
}

/// A key under the new master key, and the bytes it takes the place of.
struct Replacement<'a> {
    subject: Uuid,
    before: &'a WrappedKey,
    after: WrappedKey,
}

/// Whether the header names the same key, under that master key.
fn is_the_same_key(before: &WrappedKey, after: &WrappedKey, version: u32) -> bool {
    after.mek_version() == Some(version)
        && after.dek_id().is_some()
        && after.dek_id() == before.dek_id()
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use poem::{endpoint::make_sync, post};
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::*;
    use crate::{serve::Trigger, vault_client::stub::stub};

    const TABLE: &KeyTable = &KeyTable {
        purpose: "account",
        behind: "",
        replace: "",
    };

    /// A vault that gives these answers, one after another.
    async fn answering(answers: Vec<Value>) -> (VaultClient, Trigger) {
        let answers = Mutex::new(VecDeque::from(answers));
        let rewrap = make_sync(move |_| {
            let next = answers.lock().expect("no panic").pop_front();
            poem::web::Json(next.expect("an answer for each question"))
        });
        stub("/v1/data-keys/rewrap", post(rewrap)).await
    }

    /// What has the header of that key under that master key, and something behind it.
    fn wrapped(key: u8, version: u8, rest: u8) -> WrappedKey {
        let mut bytes = vec![1, 1, 0, 0, 0, 0, 0, version];
        bytes.extend([key; 16]);
        bytes.extend([rest; 92]);
        WrappedKey::from_bytes(bytes)
    }

    fn answer(items: &[Result<&WrappedKey, &str>]) -> Value {
        let items = items.iter().map(|item| match item {
            Ok(wrapped) => {
                let encoded = BASE64_URL_SAFE_NO_PAD.encode(wrapped.bytes());
                json!({"status": "ok", "wrapped_key": encoded})
            }
            Err(code) => json!({ "status": code }),
        });
        json!({ "items": items.collect::<Vec<_>>() })
    }

    /// Which of these keys are to be replaced, by number, and how many are left.
    async fn outcome(keys: u8, answers: Vec<Value>) -> (Vec<u8>, u64) {
        let (vault, _running) = answering(answers).await;
        let nowhere = SecretString::from("postgres://nobody@127.0.0.1:1/nothing");
        let rewrapping = Rewrapping {
            vault: &vault,
            pool: &Pool::new(&nowhere).expect("a URL"),
            tables: &[],
            clock: &Clock::system(),
        };
        let keys: Vec<_> = (1..=keys)
            .map(|key| (Uuid::from_bytes([key; 16]), wrapped(key, 1, 0)))
            .collect();
        let outcome = rewrapping.rewrapped(TABLE, 2, &keys).await;
        let (new, left) = outcome.expect("answers");
        let replaced = new.iter().map(|it| it.subject.as_bytes()[0]).collect();
        (replaced, left)
    }

    #[tokio::test]
    async fn only_the_same_key_under_the_new_master_key_takes_the_place_of_one() {
        let good = wrapped(1, 2, 1);
        let outcome = outcome(
            7,
            vec![
                answer(&[
                    Ok(&good),
                    // Another key; under an older master key; no key.
                    Ok(&wrapped(9, 2, 1)),
                    Ok(&wrapped(3, 1, 1)),
                    Ok(&WrappedKey::from_bytes(vec![1, 1, 0, 0, 0, 0, 0, 2])),
                    Err("wrapped_key_refused"),
                    // These two never open again.
                    Err("shredded"),
                    Err("master_key_destroyed"),
                ]),
                answer(&[Ok(&good)]),
            ],
        );
        assert_eq!(outcome.await, (vec![1], 4));
    }

    #[tokio::test]
    async fn a_new_key_that_the_vault_does_not_open_takes_the_place_of_none() {
        let (good, refused, other) = (wrapped(1, 2, 1), wrapped(2, 2, 1), wrapped(3, 2, 1));
        let outcome = outcome(
            3,
            vec![
                answer(&[Ok(&good), Ok(&refused), Ok(&other)]),
                answer(&[Ok(&good), Err("wrapped_key_refused"), Ok(&wrapped(3, 2, 2))]),
            ],
        );
        assert_eq!(outcome.await, (vec![1], 2));
    }
}
