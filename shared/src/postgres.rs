//! One bounded pool per service and its forward-only migrations.
//!
//! Statements go out through the `*_typed` methods of [`tokio_postgres::GenericClient`]: one round trip,
//! nothing prepared on the server, so that the pool works behind `PgBouncer` in transaction mode.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::{
    Runtime,
    managed::{self, Metrics, RecycleError, RecycleResult},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::datetime};
use tokio::task::AbortHandle;
use tokio_postgres::{
    Client, Config, GenericClient, NoTls, Row,
    types::{FromSql, Type},
};

use crate::{problem::Unexpected, settings::Problems};

/// Connections a service opens at most. Two cores serve more requests with few connections than with many.
const CONNECTIONS: usize = 16;
/// How long a request waits for a connection, or for a new one to open, before it answers 503.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one use of a connection may take: all statements of a transaction together. They take
/// milliseconds, so that only a lock that is never given back, or a server that hangs, takes longer.
const LENT: Duration = Duration::from_secs(5);
/// The same for what takes its time, see [`Pool::get_for_long`].
const LENT_FOR_LONG: Duration = Duration::from_mins(30);
/// The advisory lock of migrations: the ASCII of `keystead`.
const MIGRATION_LOCK: i64 = 0x6b65_7973_7465_6164;

/// The service's connections to its own database. Opening is lazy: a service starts without Postgres.
#[derive(Clone)]
pub struct Pool(managed::Pool<Manager>);

/// A connection that goes back to the pool when dropped, unless its time ran out before: then it is closed, and
/// everything that was asked of it has failed as `Unavailable`.
pub struct Connection {
    session: managed::Object<Manager>,
    limit: AbortHandle,
}

impl Pool {
    /// Prepares a pool for the database at `url` (several hosts and `target_session_attrs` are fine).
    pub fn new(url: &SecretString) -> Result<Self, Problems> {
        let wrong = || Problems::one("DATABASE_URL", "is not a Postgres URL");
        let mut config: Config = url.expose_secret().parse().map_err(|_| wrong())?;
        config
            .connect_timeout(PATIENCE)
            .tcp_user_timeout(LENT)
            .keepalives_idle(Duration::from_secs(30));
        let pool = managed::Pool::builder(Manager(config))
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| wrong())?;
        Ok(Self(pool))
    }

    /// A connection for five seconds, or `Unavailable` after three without one.
    ///
    /// A server that is frozen, or that the network lost, keeps its connections open and says nothing; a limit
    /// that the server itself keeps (`statement_timeout`) would be frozen with it. A transaction that is cut off
    /// has happened wholly or not at all, and only when its `COMMIT` was sent is it unknown which.
    pub async fn get(&self) -> Result<Connection, Unexpected> {
        self.lend(LENT).await
    }

    /// A connection for half an hour: for migrations, for work on whole tables that nobody waits for, and for a row that
    /// stays locked while other services are asked.
    pub async fn get_for_long(&self) -> Result<Connection, Unexpected> {
        self.lend(LENT_FOR_LONG).await
    }

    async fn lend(&self, time: Duration) -> Result<Connection, Unexpected> {
        let session = self.0.get().await?;
        let limit = cut_off(session.driver.clone(), time);
        Ok(Connection { session, limit })
    }

    /// Whether a statement comes back.
    pub async fn ping(&self) -> Result<(), Unexpected> {
        self.get().await?.query_typed("SELECT 1", &[]).await?;
        Ok(())
    }
}

/// Closes the socket when the time is over, so that nobody ever reads the late answer.
fn cut_off(driver: AbortHandle, after: Duration) -> AbortHandle {
    let limit = tokio::spawn(async move {
        tokio::time::sleep(after).await;
        metrics::counter!("postgres_connections_cut_off_total").increment(1);
        tracing::warn!(
            after_seconds = after.as_secs(),
            "a connection to postgres is cut off: its use took too long"
        );
        driver.abort();
    });
    limit.abort_handle()
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.limit.abort();
    }
}

/// Opens connections for the pool and takes back those that are still open.
struct Manager(Config);

/// An open connection: what asks, and the task that moves the bytes.
struct Session {
    client: Client,
    driver: AbortHandle,
}

impl managed::Manager for Manager {
    type Type = Session;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Session, Self::Error> {
        // Boxed: it is large, and would be part of every future that asks for a connection.
        let (client, connection) = Box::pin(self.0.connect(NoTls)).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to postgres broke");
            }
        });
        Ok(Session {
            client,
            driver: driver.abort_handle(),
        })
    }

    /// Costs no round trip: one that broke unnoticed fails its next user, who answers 503.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<Self::Error> {
        // The client notices only once the aborted task has been dropped.
        if session.client.is_closed() || session.driver.is_finished() {
            return Err(RecycleError::message("it is closed"));
        }
        Ok(())
    }
}

impl Drop for Session {
    /// Without a farewell, which a server that hangs would not take.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.session.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.session.client
    }
}

/// The earliest and the latest time that is read from a row: short of the ends of the calendar, so that every period
/// of the services can be added or taken away, and every such time be written in four digits for the year.
const TIMES: (OffsetDateTime, OffsetDateTime) = (
    datetime!(0001-01-01 00:00 UTC),
    datetime!(9998-12-31 00:00 UTC),
);

/// The time in a column. One that no service writes, `infinity` or a year of five digits, is the nearest that can be
/// told and reckoned with: a row that somebody changed by hand must not end a list or a loop.
pub fn time(row: &Row, column: &str) -> Result<OffsetDateTime, tokio_postgres::Error> {
    let Nearest(time) = row.try_get(column)?;
    Ok(time)
}

/// The same for a column that may be null.
pub fn time_if_any(
    row: &Row,
    column: &str,
) -> Result<Option<OffsetDateTime>, tokio_postgres::Error> {
    let time: Option<Nearest> = row.try_get(column)?;
    Ok(time.map(|Nearest(time)| time))
}

struct Nearest(OffsetDateTime);

impl<'a> FromSql<'a> for Nearest {
    fn from_sql(
        column: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let (earliest, latest) = TIMES;
        // Microseconds since 2000, in big endian: the first bit is the sign.
        let past = raw.first().is_some_and(|first| first & 0x80 != 0);
        let beyond = if past { earliest } else { latest };
        let time = OffsetDateTime::from_sql(column, raw).unwrap_or(beyond);
        Ok(Self(time.clamp(earliest, latest)))
    }

    fn accepts(column: &Type) -> bool {
        <OffsetDateTime as FromSql>::accepts(column)
    }
}

/// One forward step of a schema, embedded in the binary that needs it.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its file name, `0001_accounts.sql`; migrations run in the order given and never change once landed.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Runs the migrations that this database has not seen, all in one transaction.
///
/// Any number of replicas may start at once: a transaction-scoped advisory lock lets one through, the
/// others find nothing left to do. A migration whose text differs from what ran is refused.
pub async fn migrate(pool: &Pool, migrations: &[Migration]) -> Result<(), Unexpected> {
    let mut connection = pool.get_for_long().await?;
    let transaction = connection.transaction().await?;
    transaction
        .execute_typed(
            "SELECT pg_advisory_xact_lock($1)",
            &[(&MIGRATION_LOCK, Type::INT8)],
        )
        .await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS migrations (
                name text PRIMARY KEY,
                checksum bytea NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )",
        )
        .await?;
    for migration in migrations {
        apply(&transaction, migration).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// What a database is like, for the doctor.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Of the server.
    pub(crate) version: String,
    /// A standby takes no writes.
    pub(crate) read_only: bool,
    /// Settings that are off and let a crash take back what was acknowledged.
    pub(crate) careless: Vec<String>,
    /// How many ran.
    pub(crate) migrations: usize,
    /// Migrations of this program that did not run yet.
    pub(crate) pending: Vec<&'static str>,
    /// Migrations that ran with another text.
    pub(crate) changed: Vec<&'static str>,
    /// Migrations that this program does not know.
    pub(crate) unknown: Vec<String>,
}

/// Looks without changing anything: a database that was never migrated stays so.
pub(crate) async fn condition(
    pool: &Pool,
    migrations: &[Migration],
) -> Result<Condition, Unexpected> {
    let db = pool.get().await?;
    let server = db
        .query_typed_one(
            "SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS read_only,
                    to_regclass('migrations') IS NOT NULL AS migrated,
                    ARRAY(SELECT name FROM unnest(ARRAY['fsync', 'full_page_writes', 'synchronous_commit']) AS name
                          WHERE current_setting(name) = 'off') AS careless",
            &[],
        )
        .await?;
    let ran = if server.try_get("migrated")? {
        db.query_typed("SELECT name, checksum FROM migrations ORDER BY name", &[])
            .await?
    } else {
        Vec::new()
    };
    let ran: Vec<(String, Vec<u8>)> = ran
        .iter()
        .map(|row| Ok((row.try_get("name")?, row.try_get("checksum")?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let (mut pending, mut changed) = (Vec::new(), Vec::new());
    for migration in migrations {
        match ran.iter().find(|(name, _)| name == migration.name) {
            None => pending.push(migration.name),
            Some((_, checksum)) if *checksum != checksum_of(migration) => {
                changed.push(migration.name);
            }
            Some(_) => {}
        }
    }
    let known = |name: &str| migrations.iter().any(|migration| migration.name == name);
    Ok(Condition {
        version: server.try_get("version")?,
        read_only: server.try_get("read_only")?,
        careless: server.try_get("careless")?,
        migrations: ran.len(),
        pending,
        changed,
        unknown: ran
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !known(name))
            .collect(),
    })
}

/// What time it is there.
pub(crate) async fn its_time(pool: &Pool) -> Result<OffsetDateTime, Unexpected> {
    let db = pool.get().await?;
    let row = db.query_typed_one("SELECT clock_timestamp()", &[]).await?;
    Ok(row.try_get(0)?)
}

fn checksum_of(migration: &Migration) -> Vec<u8> {
    Sha256::digest(migration.sql).to_vec()
}

async fn apply(transaction: &impl GenericClient, migration: &Migration) -> Result<(), Unexpected> {
    let checksum = checksum_of(migration);
    let known = transaction
        .query_typed_opt(
            "SELECT checksum FROM migrations WHERE name = $1",
            &[(&migration.name, Type::TEXT)],
        )
        .await?;
    if let Some(row) = known {
        let applied: Vec<u8> = row.try_get("checksum")?;
        return if applied == checksum {
            Ok(())
        } else {
            Err(Unexpected::bug(format!(
                "migration {} changed after it ran",
                migration.name
            )))
        };
    }
    transaction.batch_execute(migration.sql).await?;
    transaction
        .execute_typed(
            "INSERT INTO migrations (name, checksum) VALUES ($1, $2)",
            &[(&migration.name, Type::TEXT), (&checksum, Type::BYTEA)],
        )
        .await?;
    tracing::info!(migration = migration.name, "migrated");
    Ok(())
}
