//! Table `subjects`: one sealed salt per person.

use std::collections::HashMap;

use shared::problem::Unexpected;
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, types::Type};
use uuid::Uuid;

use crate::domain::keyring::KeyVersion;

/// The sealed salts of all these subjects, in one round trip; unknown ones are left out.
pub(crate) async fn slots(
    db: &impl GenericClient,
    subjects: &[Uuid],
) -> Result<HashMap<Uuid, Vec<u8>>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT subject, sealed_salt FROM subjects WHERE subject = ANY($1)",
            &[(&subjects, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("subject")?, row.try_get("sealed_salt")?)))
        .collect()
}

/// The sealed salt of one subject.
pub(crate) async fn slot(
    db: &impl GenericClient,
    subject: Uuid,
) -> Result<Option<Vec<u8>>, Unexpected> {
    let row = db
        .query_typed_opt(
            "SELECT sealed_salt FROM subjects WHERE subject = $1",
            &[(&subject, Type::UUID)],
        )
        .await?;
    Ok(row.map(|row| row.try_get("sealed_salt")).transpose()?)
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
