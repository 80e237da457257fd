//! Records who opened, made or destroyed what, before the answer says that it is done.
//!
//! One loop writes for all requests: what has come meanwhile goes to Postgres together, in one statement and one commit.
//! A request whose record is not there in time answers 503 and gives nothing away. Whenever it is unknown whether records
//! were written, the loop begins another chain, which notes where the one before was.

use std::{collections::HashSet, sync::Arc, time::Duration};

use shared::{
    postgres::Pool,
    problem::Unexpected,
    random,
    serve::{RequestScope, Shutdown},
};
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{interval, timeout},
};
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::{
    Vault,
    domain::{
        audit_chain::{Chain, Entry, Head},
        keyring::{KeyVersion, Keyring},
        policy::Service,
        wrapped_key::Place,
    },
    store::audit as store,
};

/// How long a request waits for its records.
const PATIENCE: Duration = Duration::from_secs(2);
/// When to come again.
const RETRY: Duration = Duration::from_secs(2);
/// How often a head that has moved is left in the log.
const BETWEEN_HEADS: Duration = Duration::from_secs(10);
/// Requests that wait at most; a further one is refused at once.
const WAITING: usize = 1_024;
/// Records that are written together; a request more or less, which has a hundred at most.
const TOGETHER: usize = 4_096;

/// What requests hand to the loop, and the loop's own connection: requests must not keep it from one.
pub(crate) struct Audit {
    pool: Pool,
    queue: mpsc::Sender<Waiting>,
    /// Locked by the loop for as long as it runs.
    waiting: Mutex<mpsc::Receiver<Waiting>>,
}

struct Waiting {
    entries: Vec<Entry>,
    /// Dropped when they were not written.
    written: oneshot::Sender<()>,
}

impl Audit {
    pub(crate) fn new(pool: Pool) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        Self {
            pool,
            queue,
            waiting: Mutex::new(waiting),
        }
    }

    /// Returns when the records are on disk, or fails within two seconds: then what they are about must not be answered.
    pub(crate) async fn append(&self, entries: Vec<Entry>) -> Result<(), Unexpected> {
        let (written, told) = oneshot::channel();
        let waiting = Waiting { entries, written };
        let queued = self.queue.try_send(waiting).is_ok();
        if queued && matches!(timeout(PATIENCE, told).await, Ok(Ok(()))) {
            return Ok(());
        }
        metrics::counter!("vault_audit_refusals_total").increment(1);
        Err(Unexpected::unavailable("the audit takes no records", RETRY))
    }
}

/// What is being recorded: by whom and when.
#[derive(Clone, Copy)]
pub(crate) struct Actor {
    pub(crate) caller: Option<Service>,
    now: OffsetDateTime,
}

impl Actor {
    /// A service that asks for something.
    pub(crate) fn calling(service: Service, now: OffsetDateTime) -> Self {
        let caller = Some(service);
        Self { caller, now }
    }

    /// The vault itself, whom nobody asked at this moment.
    pub(crate) fn by_itself(now: OffsetDateTime) -> Self {
        let caller = None;
        Self { caller, now }
    }

    /// A record of something that the actor did or was refused.
    pub(crate) fn did(self, operation: &str, outcome: &str) -> Entry {
        let micros = self.now.microsecond();
        // Postgres keeps no more.
        let at = self.now.replace_microsecond(micros);
        Entry {
            at: at.expect("it was one before"),
            caller: self.caller.map(|caller| caller.name().to_owned()),
            operation: operation.to_owned(),
            purpose: None,
            subject: None,
            dek_id: None,
            outcome: outcome.to_owned(),
            request_id: RequestScope::current().map(|scope| scope.request_id().to_owned()),
        }
    }
}

impl Entry {
    /// The same, about everything of that subject.
    pub(crate) fn of(self, subject: Uuid) -> Self {
        Self {
            subject: Some(subject),
            ..self
        }
    }

    /// The same, about a master key.
    pub(crate) fn about_master_key(self, version: KeyVersion) -> Self {
        Self {
            purpose: Some(format!("master-key-{version}")),
            ..self
        }
    }

    /// The same, about the key at that place.
    pub(crate) fn about(self, place: &Place) -> Self {
        Self {
            purpose: Some(place.purpose.name().to_owned()),
            subject: Some(place.subject),
            ..self
        }
    }
}

/// Where this replica's chain is.
#[derive(Clone, Copy)]
struct Link {
    version: KeyVersion,
    head: Head,
}

/// Writes until the shutdown is requested and nobody waits.
pub(crate) async fn run(vault: Arc<Vault>, mut shutdown: Shutdown) {
    let mut queue = vault.audit.waiting.lock().await;
    let mut position = Position::default();
    let mut pause = interval(BETWEEN_HEADS);
    loop {
        let mut waiting = Vec::new();
        tokio::select! {
            biased;
            _ = pause.tick() => position.tell(),
            first = queue.recv() => waiting.extend(first),
            () = shutdown.requested() => return position.tell(),
        }
        let mut records = 0;
        while records < TOGETHER
            && let Ok(next) = queue.try_recv()
        {
            records += next.entries.len();
            waiting.push(next);
        }
        // Whoever has given up was told so.
        waiting.retain(|it| !it.written.is_closed());
        match write(&vault, &mut position, &waiting).await {
            Ok(()) => {
                for Waiting { written, .. } in waiting {
                    let _ = written.send(());
                }
            }
            Err(error) => {
                tracing::error!(error = error.chain(), "the audit is not written");
                position.lost();
            }
        }
    }
}

/// Where this replica is in the audit.
#[derive(Default)]
struct Position {
    link: Option<Link>,
    /// Where its chain was that it did not go on with. What it knows itself counts, whatever the database says: somebody
    /// may have cut that chain off, and made it break by that.
    left: Option<Head>,
    /// The head that the log has.
    told: Option<Head>,
}

impl Position {
    /// Leaves the head in the log, which is kept where the database is not.
    fn tell(&mut self) {
        let head = self.link.map(|link| link.head).or(self.left);
        if let Some(Head { chain, number, mac }) = head.filter(|_| head != self.told) {
            tracing::info!(%chain, number, mac = hex::encode(mac), "audit head");
        }
        self.told = head;
    }

    /// It is unknown whether the last records are there: the chain is not gone on with.
    fn lost(&mut self) {
        self.left = self.link.take().map(|link| link.head).or(self.left);
    }

    /// When another master key wraps, another chain begins: nothing new must depend on the one before.
    fn leave_unless(&mut self, current: KeyVersion) {
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.version != current)
        {
            self.lost();
        }
    }
}

async fn write(
    vault: &Vault,
    position: &mut Position,
    waiting: &[Waiting],
) -> Result<(), Unexpected> {
    let entries: Vec<_> = waiting.iter().flat_map(|it| &it.entries).collect();
    if entries.is_empty() {
        return Ok(());
    }
    let mut db = vault.audit.pool.get().await?;
    let keyring = vault.keys.for_the_audit()?;
    position.leave_unless(keyring.current());
    if let Some(link) = &mut position.link {
        return link.append(&keyring, &*db, &entries).await;
    }
    let transaction = db.transaction().await?;
    let now = vault.clock.now();
    let mut link = begin(&transaction, &keyring, position.left, now).await?;
    link.append(&keyring, &transaction, &entries).await?;
    transaction.commit().await?;
    tracing::info!(chain_id = %link.head.chain, "an audit chain begins");
    (position.link, position.left) = (Some(link), None);
    Ok(())
}

/// Where the chains are that have moved since a later one noted them; the others are over. A chain says what was noted only
/// if its first record holds, whose MAC is over that too: whoever can write to the database would otherwise have one pass
/// for noted, and cut it off.
async fn moved_heads(
    transaction: &Transaction<'_>,
    keyring: &Keyring,
) -> Result<Vec<Head>, Unexpected> {
    let mut noted = HashSet::new();
    for (chain, first) in store::beginnings(transaction).await? {
        let version = u32::try_from(chain.mek_version).ok();
        let key = version.and_then(KeyVersion::new);
        // Of a master key that is gone: what its chains noted is noted once more.
        let Some(key) = key.and_then(|version| keyring.chain_key(version)) else {
            continue;
        };
        let begun = Chain::begin(key, chain.id, &chain.others, &first.entry);
        if first.mac == begun.head().mac {
            noted.extend(Head::read_all(&chain.others));
        }
    }
    let mut heads = store::heads(transaction).await?;
    heads.retain(|head| !noted.contains(head));
    Ok(heads)
}

/// Opens a chain and writes its first record.
async fn begin(
    transaction: &Transaction<'_>,
    keyring: &Keyring,
    left: Option<Head>,
    now: OffsetDateTime,
) -> Result<Link, Unexpected> {
    let (version, id) = (keyring.current(), random::uuid_v7(now));
    let mut others = moved_heads(transaction, keyring).await?;
    let noted = |head: &Head| others.contains(head);
    others.extend(left.filter(|head| !noted(head)));
    let others: Vec<_> = others.iter().flat_map(Head::bytes).collect();
    let first = Actor::by_itself(now).did("begin", "ok");
    let key = keyring.chain_key(version).ok_or_else(no_key)?;
    let head = Chain::begin(key, id, &others, &first).head();
    store::open(transaction, id, version, &others, now).await?;
    store::append(transaction, id, &[(&first, head.number, head.mac)]).await?;
    Ok(Link { version, head })
}

impl Link {
    async fn append(
        &mut self,
        keyring: &Keyring,
        db: &impl GenericClient,
        entries: &[&Entry],
    ) -> Result<(), Unexpected> {
        let key = keyring.chain_key(self.version).ok_or_else(no_key)?;
        let mut chain = Chain::at(key, self.head);
        let records: Vec<_> = entries
            .iter()
            .map(|entry| {
                let Head { number, mac, .. } = chain.push(entry);
                (*entry, number, mac)
            })
            .collect();
        store::append(db, self.head.chain, &records).await?;
        self.head = chain.head();
        Ok(())
    }
}

fn no_key() -> Unexpected {
    Unexpected::bug("the current master key is not in the ring")
}
