//! Table `erasures`, and what it does to `accounts`.

use shared::{
    postgres::{time, time_if_any},
    problem::Unexpected,
    user_id::UserId,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, Transaction, types::Type};
use uuid::Uuid;

use crate::domain::erasure::{Erasure, Stage};

const COLUMNS: &str = "erasure_id, user_id, requested_at, purge_at, total_by, attempts,
        owner_told_at IS NOT NULL AS owner_told, shred_id IS NOT NULL AS shred_asked,
        others_closed_at IS NOT NULL AS others_closed, receipt IS NOT NULL AS purged, done_at IS NOT NULL AS done";
/// The columns that tell of a stage, the last one first.
const STAGES: [(&str, Stage); 5] = [
    ("done", Stage::Done),
    ("purged", Stage::Purged),
    ("others_closed", Stage::OthersClosed),
    ("shred_asked", Stage::ShredAsked),
    ("owner_told", Stage::OwnerTold),
];

/// Begins a deletion: the account has no address and no session from here on. `false` when there is no such account, or
/// its deletion has begun already.
pub(crate) async fn begin(
    transaction: &Transaction<'_>,
    erasure: &Erasure,
) -> Result<bool, Unexpected> {
    let account = transaction
        .query_typed_opt(
            "SELECT email_index, disabled_at FROM accounts
             WHERE user_id = $1 AND email_index IS NOT NULL FOR UPDATE",
            &[(&erasure.user_id.uuid(), Type::UUID)],
        )
        .await?;
    let Some(account) = account else {
        return Ok(false);
    };
    let (email_index, disabled_at): (Vec<u8>, Option<OffsetDateTime>) = (
        account.try_get("email_index")?,
        time_if_any(&account, "disabled_at")?,
    );
    transaction
        .execute_typed(
            "INSERT INTO erasures (erasure_id, user_id, requested_at, purge_at, total_by,
                                   email_index, disabled_at, due_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $3)",
            &[
                (&erasure.id, Type::UUID),
                (&erasure.user_id.uuid(), Type::UUID),
                (&erasure.requested_at, Type::TIMESTAMPTZ),
                (&erasure.purge_at, Type::TIMESTAMPTZ),
                (&erasure.total_by, Type::TIMESTAMPTZ),
                (&email_index, Type::BYTEA),
                (&disabled_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    transaction
        .execute_typed(
            "UPDATE accounts SET email_index = NULL, disabled_at = $2, session_epoch = session_epoch + 1
             WHERE user_id = $1",
            &[
                (&erasure.user_id.uuid(), Type::UUID),
                (&erasure.requested_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(true)
}

/// The deletion whose next step has been due longest, locked until the transaction ends; those that another replica is
/// at are left to it, and those that are done come last.
pub(crate) async fn lock_due(
    transaction: &Transaction<'_>,
    now: OffsetDateTime,
) -> Result<Option<Erasure>, Unexpected> {
    let row = transaction
        .query_typed_opt(
            &format!(
                "SELECT {COLUMNS} FROM erasures WHERE due_at <= $1
                 ORDER BY done_at IS NOT NULL, due_at LIMIT 1 FOR UPDATE SKIP LOCKED"
            ),
            &[(&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The deletion of that account, locked until the transaction ends; whoever is at it is waited for.
pub(crate) async fn lock_of(
    transaction: &Transaction<'_>,
    user: UserId,
) -> Result<Option<Erasure>, Unexpected> {
    let sql = format!("SELECT {COLUMNS} FROM erasures WHERE user_id = $1 FOR UPDATE");
    let row = transaction
        .query_typed_opt(&sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.as_ref().map(read).transpose()
}

/// The owner has been told, or never can be.
pub(crate) async fn note_owner_told(
    db: &impl GenericClient,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    note(db, "owner_told_at = $2", id, (&now, Type::TIMESTAMPTZ)).await
}

/// The vault opens nothing of the person any more.
pub(crate) async fn note_shred(
    db: &impl GenericClient,
    id: Uuid,
    shred_id: Uuid,
) -> Result<(), Unexpected> {
    note(db, "shred_id = $2", id, (&shred_id, Type::UUID)).await
}

/// Other services do nothing for the person any more.
pub(crate) async fn note_others_closed(
    db: &impl GenericClient,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    note(db, "others_closed_at = $2", id, (&now, Type::TIMESTAMPTZ)).await
}

/// The vault has destroyed the person's key.
pub(crate) async fn note_receipt(
    db: &impl GenericClient,
    id: Uuid,
    receipt: &str,
) -> Result<(), Unexpected> {
    note(db, "receipt = $2", id, (&receipt, Type::TEXT)).await
}

/// When the next step is due; a step that was taken starts the count of tries anew.
pub(crate) async fn put_off(
    db: &impl GenericClient,
    id: Uuid,
    due_at: Option<OffsetDateTime>,
    attempts: i64,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE erasures SET due_at = $2, attempts = $3 WHERE erasure_id = $1",
        &[
            (&id, Type::UUID),
            (&due_at, Type::TIMESTAMPTZ),
            (&attempts, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

/// Deletes every row of the person but the record of their deletion: ids, times and the receipt. Sessions go before the
/// account, in the order that everybody locks them.
pub(crate) async fn delete_rows(
    transaction: &Transaction<'_>,
    erasure: &Erasure,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    for sql in [
        "DELETE FROM lockouts WHERE user_id = $1",
        "DELETE FROM sessions WHERE user_id = $1",
        // What else there is references it and goes along.
        "DELETE FROM accounts WHERE user_id = $1",
    ] {
        let user_id = (&erasure.user_id.uuid() as _, Type::UUID);
        transaction.execute_typed(sql, &[user_id]).await?;
    }
    transaction
        .execute_typed(
            "UPDATE erasures SET email_index = NULL, disabled_at = NULL, done_at = $2 WHERE erasure_id = $1",
            &[(&erasure.id, Type::UUID), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(())
}

/// Every deletion that is done is looked at again soon: what has been restored meanwhile nobody knows.
pub(crate) async fn recheck_all(
    db: &impl GenericClient,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE erasures SET due_at = $1 WHERE done_at IS NOT NULL AND total_by > $1",
        &[(&now, Type::TIMESTAMPTZ)],
    )
    .await?;
    Ok(())
}

/// Takes the steps back that undoing a deletion undoes elsewhere: whatever becomes of that, they are taken again at
/// `due_at`, unless the deletion is gone by then.
pub(crate) async fn step_back(
    db: &impl GenericClient,
    user: UserId,
    due_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE erasures SET shred_id = NULL, others_closed_at = NULL, due_at = $2
         WHERE user_id = $1 AND owner_told_at IS NOT NULL AND receipt IS NULL AND purge_at > $3",
        &[
            (&user.uuid(), Type::UUID),
            (&due_at, Type::TIMESTAMPTZ),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// Undoes a deletion here: the account is as it was, less its sessions. Its address was locked and found free.
pub(crate) async fn undo(
    transaction: &Transaction<'_>,
    erasure: &Erasure,
) -> Result<(), Unexpected> {
    transaction
        .execute_typed(
            "UPDATE accounts SET email_index = erasures.email_index, disabled_at = erasures.disabled_at
             FROM erasures WHERE erasure_id = $1 AND accounts.user_id = erasures.user_id",
            &[(&erasure.id, Type::UUID)],
        )
        .await?;
    transaction
        .execute_typed(
            "DELETE FROM erasures WHERE erasure_id = $1",
            &[(&erasure.id, Type::UUID)],
        )
        .await?;
    Ok(())
}

type Parameter<'a> = (&'a (dyn tokio_postgres::types::ToSql + Sync), Type);

async fn note(
    db: &impl GenericClient,
    column: &str,
    id: Uuid,
    value: Parameter<'_>,
) -> Result<(), Unexpected> {
    let sql = format!("UPDATE erasures SET {column} WHERE erasure_id = $1");
    db.execute_typed(&sql, &[(&id, Type::UUID), value]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Erasure, Unexpected> {
    Ok(Erasure {
        id: row.try_get("erasure_id")?,
        user_id: UserId::new(row.try_get("user_id")?),
        requested_at: time(row, "requested_at")?,
        purge_at: time(row, "purge_at")?,
        total_by: time(row, "total_by")?,
        stage: stage(row)?,
        attempts: row.try_get("attempts")?,
    })
}

fn stage(row: &Row) -> Result<Stage, Unexpected> {
    for (column, stage) in STAGES {
        if row.try_get(column)? {
            return Ok(stage);
        }
    }
    Ok(Stage::Begun)
}
