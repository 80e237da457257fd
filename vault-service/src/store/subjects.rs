//! Table `subjects`: one sealed salt per person, until there is none.

use std::collections::HashMap;

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};
use uuid::Uuid;

use crate::domain::keyring::KeyVersion;

/// What there is of a subject.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Its salt, sealed.
    Sealed(Vec<u8>),
    /// It is being shredded: the salt is there and is not for use.
    Pending,
    /// The salt is gone.
    Shredded,
}

/// What there is of all these subjects, in one round trip; of whom there is nothing is left out.
pub(crate) async fn slots(
    db: &impl GenericClient,
    subjects: &[Uuid],
) -> Result<HashMap<Uuid, Slot>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT asked.subject, sealed_salt, shred_id IS NOT NULL AS pending,
                    purged_at IS NOT NULL OR sealed_salt IS NULL AND subjects.subject IS NOT NULL AS shredded
             FROM unnest($1) AS asked (subject)
             LEFT JOIN subjects ON subjects.subject = asked.subject
             LEFT JOIN shreds ON shreds.subject = asked.subject
             WHERE subjects.subject IS NOT NULL OR shreds.subject IS NOT NULL",
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
        if row.try_get("pending")? {
            return Ok(Self::Pending);
        }
        Ok(Self::Sealed(row.try_get("sealed_salt")?))
    }
}

/// Gives a subject its slot, unless it has one already; then nothing changes and that one counts.
pub(crate) async fn insert_first(
    db: &impl GenericClient,
    subject: Uuid,
    (version, sealed_salt): (KeyVersion, &[u8]),
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO subjects (subject, sealed_salt, mek_version, created_at)
         VALUES ($1, $2, $3, $4) ON CONFLICT (subject) DO NOTHING",
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
