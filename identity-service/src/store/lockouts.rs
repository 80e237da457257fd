//! Table `lockouts`.

use shared::{postgres::time, problem::Unexpected, user_id::UserId};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};

use crate::domain::lockout::{Bucket, Counted, Guessed, Lockout};

/// Buckets that an operator is shown at most: a person has few devices, and a stranger can make up none.
const SHOWN: i64 = 20;

/// Counts an attempt, in one statement: parallel ones wait for each other at the row, and each sees what the one
/// before it left.
pub(crate) async fn count(
    db: &impl GenericClient,
    bucket: &Bucket,
    lockout: &Lockout,
    now: OffsetDateTime,
) -> Result<Counted, Unexpected> {
    let rows = db
        .query_typed(
            "INSERT INTO lockouts AS known (bucket, user_id, attempts, over_at) VALUES ($1, $2, 1, $4)
             ON CONFLICT (bucket) DO UPDATE SET
                attempts = CASE WHEN known.over_at <= $3 THEN 1 ELSE known.attempts + 1 END,
                over_at = CASE WHEN known.over_at <= $3 OR known.attempts < $5 THEN $4 ELSE known.over_at END
             RETURNING attempts, over_at",
            &[
                (&bucket.mac, Type::BYTEA),
                (&bucket.user_id.map(UserId::uuid), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&(now + lockout.duration), Type::TIMESTAMPTZ),
                (&i64::from(lockout.failures), Type::INT8),
            ],
        )
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Unexpected::bug("an attempt was not counted"))?;
    read(row)
}

/// Takes one attempt back.
pub(crate) async fn uncount(db: &impl GenericClient, bucket: &Bucket) -> Result<(), Unexpected> {
    let one_less = "UPDATE lockouts SET attempts = greatest(attempts - 1, 0) WHERE bucket = $1";
    db.execute_typed(one_less, &[(&bucket.mac, Type::BYTEA)])
        .await?;
    Ok(())
}

/// Forgets what was counted.
pub(crate) async fn clear(db: &impl GenericClient, bucket: &Bucket) -> Result<bool, Unexpected> {
    let sql = "DELETE FROM lockouts WHERE bucket = $1";
    Ok(db.execute_typed(sql, &[(&bucket.mac, Type::BYTEA)]).await? > 0)
}

/// Forgets what was counted against a person's devices and sessions.
pub(crate) async fn clear_devices(
    db: &impl GenericClient,
    user: UserId,
) -> Result<u64, Unexpected> {
    let sql = "DELETE FROM lockouts WHERE user_id = $1";
    Ok(db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?)
}

/// What is counted at the moment against an address, and against the devices and sessions of its person, if there is
/// one: the fullest first.
pub(crate) async fn counted(
    db: &impl GenericClient,
    identifier: Option<&Bucket>,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Vec<(Guessed, Counted)>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT attempts, over_at, user_id IS NULL AS of_address FROM lockouts
             WHERE (bucket = $1 OR user_id = $2) AND over_at > $3 AND attempts > 0
             ORDER BY attempts DESC, over_at DESC LIMIT $4",
            &[
                (&identifier.map(|it| it.mac.as_slice()), Type::BYTEA),
                (&user.uuid(), Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&SHOWN, Type::INT8),
            ],
        )
        .await?;
    let counted = rows.iter().map(|row| {
        let guessed = if row.try_get("of_address")? {
            Guessed::Address
        } else {
            Guessed::Device
        };
        Ok((guessed, read(row)?))
    });
    counted.collect()
}

/// Removes what is forgotten anyway.
pub(crate) async fn discard_expired(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let expired = "DELETE FROM lockouts WHERE over_at <= $1";
    Ok(db
        .execute_typed(expired, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}

fn read(row: &Row) -> Result<Counted, Unexpected> {
    let attempts: i64 = row.try_get("attempts")?;
    Ok(Counted {
        attempts: u64::try_from(attempts)
            .map_err(|_| Unexpected::bug(format!("impossible attempts: {attempts}")))?,
        over_at: time(row, "over_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lockout::tests::{START, count as counted_by_the_rule};
    use shared::random;
    use stack::database;
    use time::Duration;

    /// Pauses, in parts of the lockout's duration, that meet every branch and its edge.
    const PAUSES: [f64; 14] = [
        0.0, 0.1, 0.9, 0.999, 1.0, 0.0, 0.0, 0.0, 0.5, 0.6, 0.0, 0.0, 0.0, 1.0,
    ];

    #[tokio::test]
    async fn the_statement_counts_as_the_rule_says() {
        let database = database::cloned("identity").await;
        let (db, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls)
            .await
            .expect("the database is there");
        tokio::spawn(connection);
        let duration = Duration::minutes(15);
        for failures in 1..6 {
            let lockout = Lockout { failures, duration };
            let bucket = Bucket {
                mac: random::bytes::<32>().to_vec(),
                user_id: None,
            };
            let (mut now, mut before) = (START, None);
            for pause in PAUSES.into_iter().cycle().take(60) {
                now += duration * pause;
                let told = count(&db, &bucket, &lockout, now).await.expect("counted");
                let expected = counted_by_the_rule(before, &lockout, now);
                assert_eq!(told, expected, "{failures}, {pause} after {before:?}");
                before = Some(told);
            }
        }
    }
}
