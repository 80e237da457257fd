//! Table `subjects`: one sealed salt per person, until there is none.

use std::collections::HashMap;

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use super::master_keys::wraps;
use crate::domain::keyring::KeyVersion;

/// What there is of a subject.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Its salt, sealed.
    Sealed(Vec<u8>),
    /// It is being shredded: the salt is there, sealed, and no key is made or opened with it.
    Pending(Vec<u8>),
    /// The salt is gone.
    Shredded,
}

/// What there is of all these subjects, in one round trip; of whom there is nothing is left out. One look into an index for
/// each, however few subjects there are: the planner would rather read a whole table of thousands.
pub(crate) async fn slots(
    db: &impl GenericClient,
    subjects: &[Uuid],
) -> Result<HashMap<Uuid, Slot>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT asked.subject, sealed_salt, shred_id IS NOT NULL AS pending,
                    purged_at IS NOT NULL OR sealed_salt IS NULL AND slot.subject IS NOT NULL AS shredded
             FROM unnest($1) AS asked (subject)
             LEFT JOIN LATERAL (SELECT * FROM subjects WHERE subject = asked.subject LIMIT 1) AS slot ON true
             LEFT JOIN LATERAL (SELECT * FROM shreds WHERE subject = asked.subject LIMIT 1) AS shred ON true
             WHERE slot.subject IS NOT NULL OR shred.subject IS NOT NULL",
            &[(&subjects, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("subject")?, Slot::read(row)?)))
        .collect()
}

/// What there is of one subject.
pub(crate) async fn slot(
    db: &impl GenericClient,
    subject: Uuid,
) -> Result<Option<Slot>, Unexpected> {
    Ok(slots(db, &[subject]).await?.remove(&subject))
}

impl Slot {
    fn read(row: &Row) -> Result<Self, Unexpected> {
        if row.try_get("shredded")? {
            return Ok(Self::Shredded);
        }
        let (pending, salt): (bool, Option<Vec<u8>>) =
            (row.try_get("pending")?, row.try_get("sealed_salt")?);
        // Who is shredded before having had any key has no salt.
        let salt = salt.unwrap_or_default();
        Ok(if pending {
            Self::Pending(salt)
        } else {
            Self::Sealed(salt)
        })
    }
}

/// Gives a subject its slot, unless it has one already; then nothing changes and that one counts. Nothing changes, too, when the
/// master key does not wrap any more.
pub(crate) async fn insert_first(
    db: &impl GenericClient,
    subject: Uuid,
    (version, sealed_salt): (KeyVersion, &[u8]),
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        &format!(
            "INSERT INTO subjects (subject, sealed_salt, mek_version, created_at)
             SELECT $1, $2, version, $4
             FROM (SELECT version FROM master_keys WHERE version = $3 AND {} FOR SHARE) AS wraps
             ON CONFLICT (subject) DO NOTHING",
            wraps("$4")
        ),
        &[
            (&subject, Type::UUID),
            (&sealed_salt, Type::BYTEA),
            (&i64::from(version.number()), Type::INT8),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Slots that an older master key seals, behind that subject, some at a time.
pub(crate) async fn behind(
    db: &impl GenericClient,
    current: KeyVersion,
    after: Uuid,
) -> Result<Vec<(Uuid, Vec<u8>)>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT subject, sealed_salt FROM subjects
             WHERE mek_version <> $1 AND subject > $2 ORDER BY subject LIMIT 200",
            &[
                (&i64::from(current.number()), Type::INT8),
                (&after, Type::UUID),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("subject")?, row.try_get("sealed_salt")?)))
        .collect()
}

/// A slot that is sealed anew.
pub(crate) struct Resealed {
    pub(crate) subject: Uuid,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// Puts slots in the place of those that they were made from, where these are still there, and while that master key wraps:
/// the lock makes this and a destruction wait for each other, however long a replica has been paused meanwhile. Returns
/// how many were put.
pub(crate) async fn reseal(
    db: &impl GenericClient,
    version: KeyVersion,
    slots: &[Resealed],
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let subjects: Vec<_> = slots.iter().map(|slot| slot.subject).collect();
    let before: Vec<_> = slots.iter().map(|slot| slot.before.as_slice()).collect();
    let after: Vec<_> = slots.iter().map(|slot| slot.after.as_slice()).collect();
    let resealed = db
        .execute_typed(
            &format!(
                "UPDATE subjects SET sealed_salt = new.after, mek_version = wraps.version
                 FROM unnest($1, $2, $3) AS new (subject, before, after),
                      (SELECT version FROM master_keys WHERE version = $4 AND {} FOR SHARE) AS wraps
                 WHERE subjects.subject = new.subject AND sealed_salt = new.before",
                wraps("$5")
            ),
            &[
                (&subjects, Type::UUID_ARRAY),
                (&before, Type::BYTEA_ARRAY),
                (&after, Type::BYTEA_ARRAY),
                (&i64::from(version.number()), Type::INT8),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(resealed)
}
