//! The only Redis of identity: how much each client has used of each limit, for all replicas.
//!
//! The time comes from the caller, as everywhere: the script is then a pure function, the same as
//! [`RateLimit::take`], and tests move it by hand. The price is that a replica whose clock is ahead by `s`
//! lets through what would have come through `s` later; limits are minutes, and tokens need clocks that agree
//! within seconds anyway. A debt that a clock far ahead has left lasts no longer than to
//! the next request.
//!
//! Redis decides nothing that must be answered, so it gets a tenth of a second. The first late answer sends
//! everybody to the memory of this process at once, and [`Counters::check`], called twice a second, finds
//! the way back. (The crate's own `ConnectionManager` makes requests wait while it reconnects.)

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, RedisError, Script, ScriptInvocation,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};
use shared::random;
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::domain::rate_limit::{Debt, Decision, RateLimit};

/// For what no request waits for: connecting, TLS and the look at a cluster's layout included, or a sign of
/// life.
const UNHURRIED: Duration = Duration::from_secs(1);

/// Where Redis is, and how long a decision waits for it.
pub(crate) struct Redis {
    pub(crate) servers: Servers,
    pub(crate) answer: Duration,
}

pub(crate) enum Servers {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl Servers {
    /// A moved slot or a lost node gets a second try within the time of one decision.
    pub(crate) fn bounded(cluster: ClusterClientBuilder) -> ClusterClientBuilder {
        cluster
            .retries(2)
            .min_retry_wait(1)
            .max_retry_wait(20)
            .connection_timeout(UNHURRIED)
            .response_timeout(UNHURRIED)
    }
}

/// One multiplexed connection (per node), shared by all requests.
#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

enum State {
    /// Not tried yet.
    Starting,
    Connected(Connection),
    Away,
}

/// The counters, wherever they are at the moment.
pub(crate) struct Counters {
    redis: Redis,
    script: Script,
    state: RwLock<State>,
}

/// One request to be counted.
pub(crate) struct Take {
    /// The key; what is in braces decides the slot of a cluster.
    pub(crate) bucket: String,
    pub(crate) limit: RateLimit,
    /// What the client owes at least, as far as this process knows.
    pub(crate) known_debt: Debt,
    /// Microseconds since 1970.
    pub(crate) now: u64,
}

/// What Redis is like.
pub(crate) struct Found {
    version: String,
    /// One, or those of a cluster.
    masters: usize,
    /// When its memory is full it forgets counts before their time.
    pub(crate) evicts: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Redis {}", self.version)?;
        if self.masters != 1 {
            write!(
                out,
                ", a cluster of {} masters that all answer",
                self.masters
            )?;
        }
        write!(out, ", and counts")
    }
}

impl Found {
    /// Reads what each master answers to `INFO`.
    fn in_info(told: &[String]) -> Self {
        let of = |told: &'_ String, name: &str| {
            let mut lines = told.lines();
            let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.map(str::to_owned)
        };
        let keeps = ["noeviction", "volatile-ttl"];
        let evicts = |told| {
            of(told, "maxmemory_policy").is_some_and(|policy| !keeps.contains(&policy.as_str()))
        };
        let version = told.iter().find_map(|told| of(told, "redis_version"));
        Self {
            version: version.unwrap_or_else(|| "of an unknown version".to_owned()),
            masters: told.len(),
            evicts: told.iter().any(evicts),
        }
    }
}

/// Why Redis is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("no answer in time")]
    Hung,
    #[error(transparent)]
    Failed(#[from] RedisError),
}

impl Counters {
    /// Connects only when [`Counters::check`] is called.
    pub(crate) fn new(redis: Redis) -> Self {
        Self {
            redis,
            script: Script::new(include_str!("rate_limit.lua")),
            state: RwLock::new(State::Starting),
        }
    }

    /// Where limits are counted at the moment, and whether that is because Redis is of no use.
    pub(crate) fn place(&self) -> (&'static str, bool) {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Starting => ("memory", false),
            State::Connected(_) => ("redis", false),
            State::Away => ("memory", true),
        }
    }

    /// Decides in Redis; `None` when it is away. When an answer is late it is unknown whether the request was
    /// counted there: both memories take the higher of what they know, so it is not counted twice.
    pub(crate) async fn take(&self, take: &Take) -> Option<Decision> {
        let mut connection = self.connection()?;
        let mut call = self.script.key(&take.bucket);
        call.arg(take.now)
            .arg(take.limit.interval())
            .arg(take.limit.capacity())
            .arg(take.known_debt);
        match within(self.redis.answer, connection.invoke(&call)).await {
            Ok((allowed, debt)) => Some(Decision {
                allowed,
                debt,
                limit: take.limit,
            }),
            Err(lost) => {
                self.lose(&lost);
                None
            }
        }
    }

    /// Asks for a sign of life, or connects anew.
    pub(crate) async fn check(&self) {
        let outcome = match self.connection() {
            Some(mut connection) => within(UNHURRIED, connection.ping()).await,
            None => within(UNHURRIED, self.connect())
                .await
                .map(|connection| self.found(connection)),
        };
        if let Err(lost) = outcome {
            self.lose(&lost);
        }
    }

    /// Looks at Redis anew, for a person: connects, counts once under a name that nobody has, and reads the server's
    /// own account of itself.
    pub(crate) async fn examine(&self, now: OffsetDateTime) -> Result<Found, Lost> {
        let mut connection = within(UNHURRIED, self.connect()).await?;
        within(UNHURRIED, connection.ping()).await?;
        let limit = RateLimit::parse("1/1s").expect("a limit");
        let mut call = self
            .script
            .key(format!("{{doctor:{}}}", hex::encode(random::bytes::<16>())));
        let micros = u64::try_from(now.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        call.arg(micros)
            .arg(limit.interval())
            .arg(limit.capacity())
            .arg(0);
        within(UNHURRIED, connection.invoke(&call)).await?;
        let told = within(UNHURRIED, connection.info()).await?;
        Ok(Found::in_info(&told))
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let mut connection = match &self.redis.servers {
            Servers::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(UNHURRIED))
                    .set_response_timeout(Some(UNHURRIED));
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                Connection::Single(connecting.await?)
            }
            Servers::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        // So that no decision needs a second round trip.
        match &mut connection {
            Connection::Single(single) => self.script.load_async(single).await?,
            Connection::Cluster(cluster) => self.script.load_async(cluster).await?,
        };
        Ok(connection)
    }

    fn connection(&self) -> Option<Connection> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Connected(connection) => Some(connection.clone()),
            State::Starting | State::Away => None,
        }
    }

    fn found(&self, connection: Connection) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        tracing::info!("rate limits are counted in redis");
        *state = State::Connected(connection);
    }

    fn lose(&self, lost: &Lost) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Away) {
            tracing::warn!(error = %lost, "redis is away: rate limits are counted in memory");
            *state = State::Away;
        }
    }
}

impl Connection {
    async fn invoke(&mut self, call: &ScriptInvocation<'_>) -> Result<(bool, Debt), RedisError> {
        match self {
            Self::Single(connection) => call.invoke_async(connection).await,
            Self::Cluster(connection) => call.invoke_async(connection).await,
        }
    }

    /// What the server tells of itself; of a cluster, what every master does.
    async fn info(&mut self) -> Result<Vec<String>, RedisError> {
        let info = redis::cmd("INFO");
        match self {
            Self::Single(connection) => Ok(vec![info.query_async(connection).await?]),
            Self::Cluster(connection) => {
                let told: HashMap<String, String> = info.query_async(connection).await?;
                Ok(told.into_values().collect())
            }
        }
    }

    /// Of a cluster, every master must answer.
    async fn ping(&mut self) -> Result<(), RedisError> {
        let ping = redis::cmd("PING");
        match self {
            Self::Single(connection) => ping.exec_async(connection).await,
            Self::Cluster(connection) => ping.exec_async(connection).await,
        }
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Lost> {
    match timeout(limit, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Lost::Hung),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestRunner};
    use stack::Addresses;

    use super::*;

    async fn counters() -> Counters {
        let url = Addresses::of_the_test_run().redis;
        let counters = Counters::new(Redis {
            servers: Servers::Single(Box::new(Client::open(url).unwrap())),
            answer: UNHURRIED,
        });
        counters.check().await;
        counters
    }

    fn limits() -> impl Strategy<Value = RateLimit> {
        (1u32..20, 1u32..2_000)
            .prop_map(|(requests, seconds)| RateLimit::parse(&format!("{requests}/{seconds}s")))
            .prop_map(|limit| limit.unwrap())
    }

    /// Pauses, at times back in time as between two replicas, and at times with something known beside.
    fn steps() -> impl Strategy<Value = Vec<(i64, Debt)>> {
        let known = prop_oneof![4 => Just(0), 1 => 0u64..3_000_000_000];
        prop::collection::vec((-1_000_000i64..200_000_000, known), 1..30)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_script_and_the_pure_rule_decide_alike() {
        let counters = counters().await;
        let handle = tokio::runtime::Handle::current();
        let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
        let outcome = tokio::task::block_in_place(|| {
            runner.run(&(limits(), steps()), |(limit, steps)| {
                let bucket = format!("test:{}", hex::encode(random::bytes::<16>()));
                let (mut now, mut end) = (1_795_500_000_000_000_i64, 0_u64);
                for (pause, known_debt) in steps {
                    now += pause;
                    let at = u64::try_from(now).unwrap();
                    let take = Take {
                        bucket: bucket.clone(),
                        limit,
                        known_debt,
                        now: at,
                    };
                    let model = limit.take(end.saturating_sub(at).max(known_debt));
                    end = at + model.debt;
                    let decided = handle.block_on(counters.take(&take));
                    prop_assert_eq!(decided, Some(model));
                }
                Ok(())
            })
        });
        outcome.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_counter_of_ours_is_no_reason_to_let_anybody_through() {
        let counters = counters().await;
        let limit = RateLimit::parse("1/1m").unwrap();
        let take = Take {
            bucket: format!("test:{}", hex::encode(random::bytes::<16>())),
            limit,
            known_debt: 0,
            now: 1_795_500_000_000_000,
        };
        let mut connection = counters.connection().unwrap();
        let Connection::Single(single) = &mut connection else {
            panic!("one server");
        };
        let mut garbage = redis::cmd("SET");
        garbage
            .arg(&take.bucket)
            .arg("garbage")
            .arg("PX")
            .arg(60_000);
        garbage.exec_async(single).await.unwrap();
        assert!(counters.take(&take).await.unwrap().allowed);
        assert!(!counters.take(&take).await.unwrap().allowed);
        let mut list = redis::cmd("LPUSH");
        list.arg(format!("{}:list", take.bucket)).arg("x");
        list.exec_async(single).await.unwrap();
        let take = Take {
            bucket: format!("{}:list", take.bucket),
            ..take
        };
        // Not the type of a counter: the memory of this process decides.
        assert_eq!(counters.take(&take).await, None);
        assert!(counters.place().1);
    }
}
