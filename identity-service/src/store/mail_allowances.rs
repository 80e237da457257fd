//! Table `mail_allowances`.

use shared::problem::Unexpected;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{GenericClient, types::Type};

/// How much mail of one kind an address gets: `burst` at once, then one every `refill`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) burst: i32,
    pub(crate) refill: Duration,
}

/// Spends one mail of that kind; `false` when there is none left. One statement, so that any number of workers
/// at once send no more than one would.
pub(crate) async fn spend(
    db: &impl GenericClient,
    email_index: &[u8],
    kind: &str,
    allowance: Allowance,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let full = allowance.refill * (allowance.burst - 1);
    let rows = db
        .execute_typed(
            "INSERT INTO mail_allowances AS spent (email_index, kind, spent_until) VALUES ($1, $2, $4)
             ON CONFLICT (email_index, kind)
             DO UPDATE SET spent_until = greatest(spent.spent_until, $3) + make_interval(secs => $5::bigint)
             WHERE spent.spent_until <= $6",
            &[
                (&email_index, Type::BYTEA),
                (&kind, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&(now + allowance.refill), Type::TIMESTAMPTZ),
                (&allowance.refill.whole_seconds(), Type::INT8),
                (&(now + full), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(rows == 1)
}

/// Gives back what was spent on a mail that did not go.
pub(crate) async fn give_back(
    db: &impl GenericClient,
    email_index: &[u8],
    kind: &str,
    allowance: Allowance,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE mail_allowances SET spent_until = spent_until - make_interval(secs => $3::bigint)
         WHERE email_index = $1 AND kind = $2",
        &[
            (&email_index, Type::BYTEA),
            (&kind, Type::TEXT),
            (&allowance.refill.whole_seconds(), Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

/// Removes what counts nothing any more.
pub(crate) async fn discard_refilled(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<u64, Unexpected> {
    let refilled = "DELETE FROM mail_allowances WHERE spent_until <= $1";
    Ok(db
        .execute_typed(refilled, &[(&now, Type::TIMESTAMPTZ)])
        .await?)
}
