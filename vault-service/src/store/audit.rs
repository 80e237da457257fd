//! Tables `audit_chains` and `audit_records`: what is written once and never changed.

use shared::{postgres::time, problem::Unexpected};
use time::OffsetDateTime;
use tokio_postgres::{
    GenericClient, Row,
    types::{ToSql, Type},
};
use uuid::Uuid;

use crate::domain::{
    audit_chain::{Entry, Head, Mac},
    keyring::KeyVersion,
    policy::Service,
};

/// A chain as it began.
pub(crate) struct StoredChain {
    pub(crate) id: Uuid,
    /// The bare number: a row that names no version at all is the verifier's to tell.
    pub(crate) mek_version: i64,
    pub(crate) others: Vec<u8>,
}

/// A record with its place and its MAC, as the table has them.
pub(crate) struct StoredRecord {
    pub(crate) number: i64,
    pub(crate) entry: Entry,
    pub(crate) mac: Vec<u8>,
}

/// Where a chain is whose newest record is this, if that is a place at all.
pub(crate) fn head(chain: Uuid, number: i64, mac: &[u8]) -> Option<Head> {
    Some(Head {
        chain,
        number: number.try_into().ok()?,
        mac: mac.try_into().ok()?,
    })
}

const RECORD: &str =
    "number, at, caller, operation, purpose, subject, dek_id, outcome, request_id, mac";

/// The newest record of every chain.
pub(crate) async fn heads(db: &impl GenericClient) -> Result<Vec<Head>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT newest.chain_id, number, mac FROM audit_chains
             CROSS JOIN LATERAL (SELECT chain_id, number, mac FROM audit_records
                                 WHERE audit_records.chain_id = audit_chains.chain_id
                                 ORDER BY number DESC LIMIT 1) AS newest
             ORDER BY opened_at, chain_id",
            &[],
        )
        .await?;
    let mut heads = Vec::new();
    for row in &rows {
        let (number, mac): (i64, Vec<u8>) = (row.try_get("number")?, row.try_get("mac")?);
        heads.extend(head(row.try_get("chain_id")?, number, &mac));
    }
    Ok(heads)
}

/// Opens a chain. Its first record comes with [`append`].
pub(crate) async fn open(
    db: &impl GenericClient,
    chain: Uuid,
    version: KeyVersion,
    others: &[u8],
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "INSERT INTO audit_chains (chain_id, mek_version, opened_at, others) VALUES ($1, $2, $3, $4)",
        &[
            (&chain, Type::UUID),
            (&i64::from(version.number()), Type::INT8),
            (&now, Type::TIMESTAMPTZ),
            (&others, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}

/// Appends records to one chain, all or none, in one round trip, and returns when they are on disk: whatever was committed
/// before them is then, too. Fails when the chain is not there any more: it is looked for once, where a reference would look
/// for it with every record.
pub(crate) async fn append(
    db: &impl GenericClient,
    chain: Uuid,
    records: &[(&Entry, u64, Mac)],
) -> Result<(), Unexpected> {
    let numbers: Vec<_> = records
        .iter()
        .map(|(_, number, _)| i64::try_from(*number).unwrap_or(i64::MAX))
        .collect();
    let macs: Vec<_> = records.iter().map(|(_, _, mac)| mac.as_slice()).collect();
    let appended = db.execute_typed(
        "INSERT INTO audit_records (chain_id, number, at, caller, operation, purpose, subject, dek_id,
                                    outcome, request_id, mac)
         SELECT $1, records.*
         FROM (SELECT set_config('synchronous_commit', coalesce(nullif(its, 'off'), 'on'), true)
               FROM current_setting('synchronous_commit') AS its) AS waits_for_the_disk
         CROSS JOIN unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS records
         WHERE EXISTS (SELECT FROM audit_chains WHERE chain_id = $1)",
        &[
            (&chain, Type::UUID),
            (&numbers, Type::INT8_ARRAY),
            (&column(records, |it| it.at), Type::TIMESTAMPTZ_ARRAY),
            (&column(records, |it| it.caller.as_deref()), Type::TEXT_ARRAY),
            (&column(records, |it| it.operation.as_str()), Type::TEXT_ARRAY),
            (&column(records, |it| it.purpose.as_deref()), Type::TEXT_ARRAY),
            (&column(records, |it| it.subject), Type::UUID_ARRAY),
            (&column(records, |it| it.dek_id), Type::UUID_ARRAY),
            (&column(records, |it| it.outcome.as_str()), Type::TEXT_ARRAY),
            (&column(records, |it| it.request_id.as_deref()), Type::TEXT_ARRAY),
            (&macs, Type::BYTEA_ARRAY),
        ],
    )
    .await?;
    if appended != numbers.len() as u64 {
        return Err(Unexpected::bug(format!("audit chain {chain} is gone")));
    }
    Ok(())
}

/// One column of what is appended.
fn column<'a, T>(records: &[(&'a Entry, u64, Mac)], of: impl Fn(&'a Entry) -> T) -> Vec<T> {
    records.iter().map(|(entry, ..)| of(entry)).collect()
}

/// Every chain, oldest first.
pub(crate) async fn chains(db: &impl GenericClient) -> Result<Vec<StoredChain>, Unexpected> {
    let sql = "SELECT chain_id, mek_version, others FROM audit_chains ORDER BY opened_at, chain_id";
    let rows = db.query_typed(sql, &[]).await?;
    rows.iter().map(chain).collect()
}

/// Every chain with its first record, which it began with, if that is one that can be read.
pub(crate) async fn beginnings(
    db: &impl GenericClient,
) -> Result<Vec<(StoredChain, StoredRecord)>, Unexpected> {
    let sql = format!(
        "SELECT chain_id, mek_version, others, {RECORD}
         FROM audit_chains JOIN audit_records USING (chain_id) WHERE number = 0"
    );
    let rows = db.query_typed(&sql, &[]).await?;
    let readable = rows
        .iter()
        .filter_map(|row| Some((chain(row).ok()?, read(row).ok()?)));
    Ok(readable.collect())
}

fn chain(row: &Row) -> Result<StoredChain, Unexpected> {
    Ok(StoredChain {
        id: row.try_get("chain_id")?,
        mek_version: row.try_get("mek_version")?,
        others: row.try_get("others")?,
    })
}

/// A chain that has records and was never begun, if there is one.
pub(crate) async fn orphaned(db: &impl GenericClient) -> Result<Option<Uuid>, Unexpected> {
    let sql = "SELECT chain_id FROM audit_records AS record
               WHERE NOT EXISTS (SELECT FROM audit_chains WHERE chain_id = record.chain_id) LIMIT 1";
    let row = db.query_typed_opt(sql, &[]).await?;
    Ok(row.map(|row| row.try_get("chain_id")).transpose()?)
}

/// The records of a chain behind that number, in order, at most `limit` of them.
pub(crate) async fn records_after(
    db: &impl GenericClient,
    chain: Uuid,
    number: i64,
    limit: i64,
) -> Result<Vec<StoredRecord>, Unexpected> {
    let rows = db
        .query_typed(
            &format!(
                "SELECT {RECORD} FROM audit_records
                 WHERE chain_id = $1 AND number > $2 ORDER BY number LIMIT $3"
            ),
            &[
                (&chain, Type::UUID),
                (&number, Type::INT8),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many records a chain has up to that number, whatever numbers they have.
pub(crate) async fn number_up_to(
    db: &impl GenericClient,
    chain: Uuid,
    number: i64,
) -> Result<i64, Unexpected> {
    let sql = "SELECT count(*) FROM audit_records WHERE chain_id = $1 AND number <= $2";
    let parameters = [
        (&chain as &(dyn ToSql + Sync), Type::UUID),
        (&number, Type::INT8),
    ];
    let row = db.query_typed_one(sql, &parameters).await?;
    Ok(row.try_get(0)?)
}

/// What was done with the keys of a subject, newest first, before that moment: at least `page` records, if there are so
/// many, and all others of the same moment as the last, so that a further page loses none.
pub(crate) async fn of_subject(
    db: &impl GenericClient,
    subject: Uuid,
    before: Option<OffsetDateTime>,
    page: i64,
) -> Result<Vec<Entry>, Unexpected> {
    let rows = db
        .query_typed(
            &format!(
                "WITH wanted AS NOT MATERIALIZED (SELECT * FROM audit_records WHERE subject = $1 AND ($2 IS NULL OR at < $2))
                 SELECT {RECORD} FROM wanted
                 WHERE at >= coalesce((SELECT at FROM wanted ORDER BY at DESC OFFSET $3 LIMIT 1), '-infinity')
                 ORDER BY at DESC, chain_id, number DESC"
            ),
            &[
                (&subject, Type::UUID),
                (&before, Type::TIMESTAMPTZ),
                (&(page - 1), Type::INT8),
            ],
        )
        .await?;
    let records: Result<Vec<_>, _> = rows.iter().map(read).collect();
    Ok(records?.into_iter().map(|record| record.entry).collect())
}

/// Outcomes of what the policy refused: nobody's keys were within reach.
const REFUSED: [&str; 3] = ["not_allowed", "user_token_required", "user_token_mismatch"];

/// How often a service asked for something in each hour since that moment, oldest first.
pub(crate) async fn keys_by_hour_since(
    db: &impl GenericClient,
    caller: Service,
    since: OffsetDateTime,
) -> Result<Vec<(OffsetDateTime, u32)>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT date_trunc('hour', at) AS hour, count(*) AS keys FROM audit_records
             WHERE caller = $1 AND at > $2 AND operation <> 'rewrap' GROUP BY hour ORDER BY hour",
            &[(&caller.name(), Type::TEXT), (&since, Type::TIMESTAMPTZ)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let keys: i64 = row.try_get("keys")?;
            Ok((time(row, "hour")?, u32::try_from(keys).unwrap_or(u32::MAX)))
        })
        .collect()
}

/// Whose keys a service asked for since that moment, and when first, in that order.
pub(crate) async fn people_since(
    db: &impl GenericClient,
    caller: Service,
    since: OffsetDateTime,
) -> Result<Vec<(Uuid, OffsetDateTime)>, Unexpected> {
    let rows = db
        .query_typed(
            "SELECT subject, min(at) AS at FROM audit_records
             WHERE caller = $1 AND at > $2 AND operation IN ('create', 'unwrap') AND outcome <> ALL($3)
               AND subject IS NOT NULL
             GROUP BY subject ORDER BY at",
            &[
                (&caller.name(), Type::TEXT),
                (&since, Type::TIMESTAMPTZ),
                (&REFUSED.as_slice(), Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("subject")?, time(row, "at")?)))
        .collect()
}

fn read(row: &Row) -> Result<StoredRecord, Unexpected> {
    Ok(StoredRecord {
        number: row.try_get("number")?,
        entry: Entry {
            at: time(row, "at")?,
            caller: row.try_get("caller")?,
            operation: row.try_get("operation")?,
            purpose: row.try_get("purpose")?,
            subject: row.try_get("subject")?,
            dek_id: row.try_get("dek_id")?,
            outcome: row.try_get("outcome")?,
            request_id: row.try_get("request_id")?,
        },
        mac: row.try_get("mac")?,
    })
}
