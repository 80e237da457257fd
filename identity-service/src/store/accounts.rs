//! Table `accounts`.

use shared::{
    postgres::time, problem::Unexpected, rewrap::KeyTable, user_id::UserId,
    vault_client::WrappedKey,
};
use time::OffsetDateTime;
use tokio_postgres::{GenericClient, Row, types::Type};

use crate::person_key::PersonKey;

/// What a login compares with.
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) password: StoredPassword,
    pub(crate) epoch: i64,
    /// Logging in takes more than the password.
    pub(crate) second_factor: bool,
    pub(crate) disabled: bool,
}

/// A password as it is kept.
pub(crate) struct StoredPassword {
    pub(crate) hash: String,
    pub(crate) pepper_version: u32,
}

/// What the gate before every token looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) session_epoch: i64,
    pub(crate) disabled: bool,
    pub(crate) second_factor: bool,
    pub(crate) created_at: OffsetDateTime,
}

/// What a person is shown of their own account, its address still sealed.
pub(crate) struct Profile {
    pub(crate) key: PersonKey,
    pub(crate) email_sealed: Vec<u8>,
    /// What the account is found by, or was before its deletion was begun.
    pub(crate) email_index: Option<Vec<u8>>,
    pub(crate) second_factor: bool,
    pub(crate) created_at: OffsetDateTime,
}

/// An account that begins.
pub(crate) struct NewAccount<'a> {
    pub(crate) key: &'a PersonKey,
    pub(crate) email_index: &'a [u8],
    pub(crate) email_sealed: &'a [u8],
    pub(crate) password: &'a StoredPassword,
}

const CREDENTIALS: &str = "SELECT user_id, password_hash, pepper_version, session_epoch,
        disabled_at IS NOT NULL AS disabled";

/// For the rewrapping of all of them.
pub(crate) const KEYS: KeyTable = KeyTable {
    purpose: "account",
    behind: "SELECT user_id AS subject, wrapped_key FROM accounts
             WHERE substring(wrapped_key FROM 5 FOR 4) < $1 AND user_id > $2
             ORDER BY user_id LIMIT 100",
    replace: "UPDATE accounts SET wrapped_key = new.after
              FROM unnest($1, $2, $3) AS new (subject, before, after)
              WHERE user_id = new.subject AND wrapped_key = new.before",
};

const PROFILE: &str = "SELECT email_sealed, wrapped_key, key_generation, created_at,
        coalesce(email_index, (SELECT erasures.email_index FROM erasures
                               WHERE erasures.user_id = accounts.user_id)) AS email_index";
/// Whether an account needs a second factor.
pub(super) const SECOND_FACTOR: &str = "EXISTS (SELECT 1 FROM totp_factors factor
        WHERE factor.user_id = accounts.user_id AND factor.confirmed_at IS NOT NULL) AS second_factor";

/// The account of an address, under whichever version of the index it was stored.
pub(crate) async fn credentials(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
) -> Result<Option<Credentials>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!("{CREDENTIALS}, {SECOND_FACTOR} FROM accounts WHERE email_index = ANY($1)"),
            &[(&email_indexes, Type::BYTEA_ARRAY)],
        )
        .await?;
    row.as_ref().map(Credentials::read).transpose()
}

/// The same for somebody who is logged in.
pub(crate) async fn credentials_of(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Credentials>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!("{CREDENTIALS}, {SECOND_FACTOR} FROM accounts WHERE user_id = $1"),
            &[(&user.uuid(), Type::UUID)],
        )
        .await?;
    row.as_ref().map(Credentials::read).transpose()
}

/// Whether an address has an account.
pub(crate) async fn exists(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
) -> Result<bool, Unexpected> {
    Ok(credentials(db, email_indexes).await?.is_some())
}

/// The cost of the costliest hash there is; `None` without accounts.
pub(crate) async fn highest_cost(db: &impl GenericClient) -> Result<Option<u32>, Unexpected> {
    let sql = "SELECT max(substr(password_hash, 5, 2)) AS cost FROM accounts";
    let row = db.query_typed_one(sql, &[]).await?;
    let cost: Option<String> = row.try_get("cost")?;
    Ok(cost.and_then(|cost| cost.parse().ok()))
}

/// What hangs on each version of the secret.
pub(crate) struct HangsOn {
    /// `None` for recovery codes from before it was noted.
    pub(crate) version: Option<i64>,
    /// Accounts whose passwords and addresses do.
    pub(crate) accounts: i64,
    /// Accounts whose recovery codes do.
    pub(crate) recovery_codes: i64,
}

/// Who hangs on which version of the secret, newest first.
pub(crate) async fn by_secret_version(db: &impl GenericClient) -> Result<Vec<HangsOn>, Unexpected> {
    let sql =
        "SELECT version, sum(accounts)::bigint AS accounts, sum(codes)::bigint AS codes FROM (
                   SELECT pepper_version AS version, count(*) AS accounts, 0 AS codes
                   FROM accounts WHERE email_index IS NOT NULL GROUP BY 1
                   UNION ALL
                   SELECT secret_version, 0, count(DISTINCT user_id) FROM recovery_codes GROUP BY 1
               ) AS hangs GROUP BY version ORDER BY version DESC NULLS LAST";
    let rows = db.query_typed(sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(HangsOn {
                version: row.try_get("version")?,
                accounts: row.try_get("accounts")?,
                recovery_codes: row.try_get("codes")?,
            })
        })
        .collect()
}

/// The account's standing, which no other transaction changes until this one ends.
pub(crate) async fn standing(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Standing>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!(
                "SELECT session_epoch, disabled_at IS NOT NULL AS disabled, created_at, {SECOND_FACTOR}
                 FROM accounts WHERE user_id = $1 FOR SHARE"
            ),
            &[(&user.uuid(), Type::UUID)],
        )
        .await?;
    row.map(|row| {
        Ok(Standing {
            session_epoch: row.try_get("session_epoch")?,
            disabled: row.try_get("disabled")?,
            second_factor: row.try_get("second_factor")?,
            created_at: time(&row, "created_at")?,
        })
    })
    .transpose()
}

/// Ends, in one step, every session that there is or is being opened: they are of an older epoch now.
pub(crate) async fn raise_epoch(db: &impl GenericClient, user: UserId) -> Result<(), Unexpected> {
    let sql = "UPDATE accounts SET session_epoch = session_epoch + 1 WHERE user_id = $1";
    db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    Ok(())
}

/// Replaces the password and ends, by the epoch, every session; the epoch from now on, and `None` when the account is
/// disabled or not of that epoch any more. The index of the address comes along, so that it is of the version that the
/// password is of.
pub(crate) async fn replace_password(
    db: &impl GenericClient,
    user: UserId,
    epoch: i64,
    password: &StoredPassword,
    email_index: &[u8],
) -> Result<Option<i64>, Unexpected> {
    let row = db
        .query_typed_opt(
            "UPDATE accounts
             SET password_hash = $3, pepper_version = $4, email_index = $5,
                 session_epoch = session_epoch + 1
             WHERE user_id = $1 AND session_epoch = $2 AND disabled_at IS NULL
             RETURNING session_epoch",
            &[
                (&user.uuid(), Type::UUID),
                (&epoch, Type::INT8),
                (&password.hash, Type::TEXT),
                (&i64::from(password.pepper_version), Type::INT8),
                (&email_index, Type::BYTEA),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get("session_epoch")).transpose()?)
}

/// Gives the account another address, which was locked and found free, and raises the epoch, so that nothing that was
/// begun with the address before is stored after it; the epoch from now on, and `None` when the account is disabled or
/// not of that epoch any more.
pub(crate) async fn replace_address(
    db: &impl GenericClient,
    user: UserId,
    epoch: i64,
    email_index: &[u8],
    email_sealed: &[u8],
) -> Result<Option<i64>, Unexpected> {
    let row = db
        .query_typed_opt(
            "UPDATE accounts
             SET email_index = $3, email_sealed = $4, session_epoch = session_epoch + 1
             WHERE user_id = $1 AND session_epoch = $2 AND disabled_at IS NULL
             RETURNING session_epoch",
            &[
                (&user.uuid(), Type::UUID),
                (&epoch, Type::INT8),
                (&email_index, Type::BYTEA),
                (&email_sealed, Type::BYTEA),
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get("session_epoch")).transpose()?)
}

/// Takes the password away, in favour of the hash of one that nobody knows, and ends, by the epoch, every session.
/// Pepper and index stay of one version: no address is at hand, and under no pepper does such a hash match. `false`
/// when there is no such account.
pub(crate) async fn void_password(
    db: &impl GenericClient,
    user: UserId,
    hash: &str,
) -> Result<bool, Unexpected> {
    let sql = "UPDATE accounts SET password_hash = $2, session_epoch = session_epoch + 1 WHERE user_id = $1";
    let rows = db
        .execute_typed(sql, &[(&user.uuid(), Type::UUID), (&hash, Type::TEXT)])
        .await?;
    Ok(rows == 1)
}

/// Closes an account to every path and ends, by the epoch, every session; `false` when it is closed already, or gone.
pub(crate) async fn disable(
    db: &impl GenericClient,
    user: UserId,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let sql = "UPDATE accounts SET disabled_at = $2, session_epoch = session_epoch + 1
               WHERE user_id = $1 AND disabled_at IS NULL";
    let rows = db
        .execute_typed(
            sql,
            &[(&user.uuid(), Type::UUID), (&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    Ok(rows == 1)
}

/// Opens an account again; `false` when it is open, or gone. The epoch goes up once more, so that nothing from before
/// comes back, however the account was closed.
pub(crate) async fn enable(db: &impl GenericClient, user: UserId) -> Result<bool, Unexpected> {
    let sql = "UPDATE accounts SET disabled_at = NULL, session_epoch = session_epoch + 1
               WHERE user_id = $1 AND disabled_at IS NOT NULL AND email_index IS NOT NULL";
    let rows = db.execute_typed(sql, &[(&user.uuid(), Type::UUID)]).await?;
    Ok(rows == 1)
}

/// What `/me` shows.
pub(crate) async fn profile(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Profile>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!("{PROFILE}, {SECOND_FACTOR} FROM accounts WHERE user_id = $1 AND disabled_at IS NULL"),
            &[(&user.uuid(), Type::UUID)],
        )
        .await?;
    row.map(|row| Profile::read(&row, user)).transpose()
}

/// The same for an operator, who is shown disabled accounts as well.
pub(crate) async fn profile_of_any(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<Profile>, Unexpected> {
    let row = db
        .query_typed_opt(
            &format!("{PROFILE}, {SECOND_FACTOR} FROM accounts WHERE user_id = $1"),
            &[(&user.uuid(), Type::UUID)],
        )
        .await?;
    row.map(|row| Profile::read(&row, user)).transpose()
}

/// The person's key, as it is stored.
pub(crate) async fn key(
    db: &impl GenericClient,
    user: UserId,
) -> Result<Option<PersonKey>, Unexpected> {
    let sql = "SELECT wrapped_key, key_generation FROM accounts WHERE user_id = $1";
    let row = db
        .query_typed_opt(sql, &[(&user.uuid(), Type::UUID)])
        .await?;
    row.map(|row| key_of(&row, user)).transpose()
}

/// Makes everybody who is about to give this address an account wait for each other, until the transaction
/// ends. The newest version of the index comes first for everybody, so that nobody waits in a circle.
pub(crate) async fn lock_address(
    db: &impl GenericClient,
    email_indexes: &[Vec<u8>],
) -> Result<(), Unexpected> {
    let number = |index: &Vec<u8>| index.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
    for lock in email_indexes.iter().filter_map(number) {
        db.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&lock, Type::INT8)])
            .await?;
    }
    Ok(())
}

/// Stores an account whose address was locked and found free.
pub(crate) async fn insert(
    db: &impl GenericClient,
    account: &NewAccount<'_>,
    now: OffsetDateTime,
) -> Result<i64, Unexpected> {
    let row = db
        .query_typed_one(
            "INSERT INTO accounts (user_id, email_index, email_sealed, wrapped_key, key_generation,
                               password_hash, pepper_version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING session_epoch",
            &[
                (&account.key.user_id.uuid(), Type::UUID),
                (&account.email_index, Type::BYTEA),
                (&account.email_sealed, Type::BYTEA),
                (&account.key.wrapped.bytes(), Type::BYTEA),
                (&i64::from(account.key.generation), Type::INT8),
                (&account.password.hash, Type::TEXT),
                (&i64::from(account.password.pepper_version), Type::INT8),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(row.try_get("session_epoch")?)
}

/// Replaces the hash of a password that was just proven, and the index of the address that it was proven with, unless
/// either was changed meanwhile, which raises the epoch.
pub(crate) async fn renew(
    db: &impl GenericClient,
    user: UserId,
    epoch: i64,
    email_index: &[u8],
    after: &StoredPassword,
) -> Result<(), Unexpected> {
    db.execute_typed(
        "UPDATE accounts SET password_hash = $3, pepper_version = $4, email_index = $5
         WHERE user_id = $1 AND session_epoch = $2",
        &[
            (&user.uuid(), Type::UUID),
            (&epoch, Type::INT8),
            (&after.hash, Type::TEXT),
            (&i64::from(after.pepper_version), Type::INT8),
            (&email_index, Type::BYTEA),
        ],
    )
    .await?;
    Ok(())
}

impl Credentials {
    fn read(row: &Row) -> Result<Self, Unexpected> {
        Ok(Self {
            user_id: UserId::new(row.try_get("user_id")?),
            password: StoredPassword::read(row)?,
            epoch: row.try_get("session_epoch")?,
            second_factor: row.try_get("second_factor")?,
            disabled: row.try_get("disabled")?,
        })
    }
}

impl Profile {
    fn read(row: &Row, user: UserId) -> Result<Self, Unexpected> {
        Ok(Self {
            key: key_of(row, user)?,
            email_sealed: row.try_get("email_sealed")?,
            email_index: row.try_get("email_index")?,
            second_factor: row.try_get("second_factor")?,
            created_at: time(row, "created_at")?,
        })
    }
}

impl StoredPassword {
    pub(super) fn read(row: &Row) -> Result<Self, Unexpected> {
        Ok(Self {
            hash: row.try_get("password_hash")?,
            pepper_version: number(row, "pepper_version")?,
        })
    }
}

fn key_of(row: &Row, user: UserId) -> Result<PersonKey, Unexpected> {
    Ok(PersonKey {
        user_id: user,
        generation: number(row, "key_generation")?,
        wrapped: WrappedKey::from_bytes(row.try_get("wrapped_key")?),
    })
}

fn number(row: &Row, column: &str) -> Result<u32, Unexpected> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| Unexpected::bug(format!("impossible {column}: {number}")))
}
