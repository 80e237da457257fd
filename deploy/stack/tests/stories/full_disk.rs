//! The disk is full: what cannot be put on record is not given away, and everything goes on once there is room.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::SecretString;
use shared::clock::Clock;
use shared::vault_client::{KeyOf, VaultError, WrappedKey};
use stack::{Person, Service, Stack, until};
use tokio_postgres::{Client, NoTls};

use crate::secrets::{vault_of, wrapped_key_of};

/// Two seconds for a record, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(5);
/// Bytes of a segment of Postgres's log, which is made as a whole.
const SEGMENT: u64 = 16 << 20;
/// More than one page of a table holds.
const ROOM: usize = 200;

/// Restarts Postgres where no file grows beyond one segment of its log, as on a disk with no room for more. What is written
/// to files of that length goes on: it is the tables that cannot grow.
async fn with_little_room(stack: &mut Stack) {
    let mine = getrlimit(Resource::Fsize);
    let little = Rlimit {
        current: Some(SEGMENT),
        ..mine
    };
    stack.stop_postgres().await.unwrap();
    // It inherits the limit of whoever starts it.
    setrlimit(Resource::Fsize, little).unwrap();
    stack.start_postgres().await.unwrap();
    setrlimit(Resource::Fsize, mine).unwrap();
}

async fn database(stack: &Stack) -> Client {
    let url = stack.addresses().database.of(Service::Vault);
    let (database, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    database
}

/// Fills the table of the audit until there is no room: eight rows to a page, which leave none for another. What filled it
/// is not there, and its room is, after a `VACUUM`.
async fn fill(database: &Client) {
    let nothing_vacuums = "ALTER TABLE audit_records SET (autovacuum_enabled = off)";
    database.batch_execute(nothing_vacuums).await.unwrap();
    let filling = "INSERT INTO audit_records (chain_id, number, at, operation, outcome, mac)
        SELECT gen_random_uuid(), 0, now(), repeat('x', 900), 'filling', decode(repeat('00', 32), 'hex')
        FROM generate_series(1, 30000)";
    let full = database.batch_execute(filling).await.unwrap_err();
    let why = full.as_db_error().unwrap().message();
    assert!(why.contains("could not extend file"), "{why}");
}

/// Keys that were opened, by the audit.
async fn opened(database: &Client) -> i64 {
    let sql = "SELECT count(*) FROM audit_records WHERE operation = 'unwrap' AND outcome = 'ok'";
    database.query_one(sql, &[]).await.unwrap().get(0)
}

/// What the journal asks for ada.
struct Asks<'a> {
    stack: &'a Stack,
    of: KeyOf,
    wrapped: WrappedKey,
    proof: SecretString,
}

impl Asks<'_> {
    /// Whoever asks for the first time has no key in memory.
    async fn once(&self) -> Result<(), VaultError> {
        let vault = vault_of(self.stack, Service::Journal);
        let now = Clock::system().now();
        let opened = vault.unwrap(self.of, &self.wrapped, Some(&self.proof), now);
        opened.await.map(drop)
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_for_a_full_disk_is_not_opened_and_nobody_waits() {
    let mut stack = Stack::for_a_test().start().await.unwrap();
    with_little_room(&mut stack).await;
    let ada = Person::new(stack.addresses(), "ada").await;
    ada.write("mine", "and nobody else's").await;
    let asks = Asks {
        stack: &stack,
        of: KeyOf {
            subject: ada.id.parse().unwrap(),
            purpose: "entries",
            generation: 1,
        },
        wrapped: wrapped_key_of(&stack, &ada).await,
        proof: SecretString::from(ada.access_token.clone()),
    };
    let database = database(&stack).await;
    fill(&database).await;
    let before = opened(&database).await;

    let mut given = 0;
    let mut refused = 0;
    for _ in 0..ROOM {
        let begun = Instant::now();
        match asks.once().await {
            Ok(()) => given += 1,
            Err(VaultError::Unavailable(_)) => refused += 1,
            Err(VaultError::Refused(code)) => panic!("{code}"),
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "the disk was not full");
    // What came too late for its answer may be on record as well.
    assert!(opened(&database).await >= before + given);

    database
        .batch_execute("VACUUM audit_records")
        .await
        .unwrap();
    until("a key", SOON, async || {
        asks.once().await.map_err(|why| why.to_string())
    })
    .await
    .unwrap();
    let verified = stack.run(Service::Vault, &["audit", "verify"]).await;
    let verified = verified.unwrap();
    assert!(verified.contains("hold"), "{verified}");
    stack.stop().await.unwrap();
}
