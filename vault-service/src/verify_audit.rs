//! `vault-service audit …`: whether the audit is whole, and where it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use shared::{
    postgres::{Connection, Pool},
    problem::Unexpected,
    settings::Problems,
};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    Settings,
    domain::{
        audit_chain::{Chain, ChainKey, Head, Mac},
        kept_audit_key::{Damaged, KeptAuditKey},
        keyring::{KeyVersion, Keyring},
    },
    key_source::{KeySource, opened_by_standard_input},
    store::{
        audit::{self as store, StoredChain, StoredRecord},
        kept_audit_keys::{self, Kept},
    },
};

/// Records that are looked at in one go.
const AT_ONCE: i64 = 1_000;

/// Look at the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every record of every chain, and name the first that was changed, removed, moved or added. 0 when all hold,
    /// 1 when one does not. What opens a sealed keyring is read from standard input: the passphrase, or a share a line.
    Verify {
        /// What `audit head` printed earlier, or lines `audit head` of a vault's log: shows also when the newest records were
        /// removed.
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// A chain of a master key that was destroyed when no replica had it any more, so that the key of its chains was not kept:
        /// it is held against what was noted of it, and is no failure (may be repeated).
        #[arg(long, value_name = "CHAIN")]
        without: Vec<Uuid>,
    },
    /// Print where every chain is, one line of JSON for each: to be kept where the vault's database is not.
    Head,
}

#[derive(Debug, Error)]
enum AuditError {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("chain {chain}: {what}")]
    Broken { chain: Uuid, what: String },
    #[error(
        "chain {chain}: cannot be checked, master key version {version} is not here, nor is the key of its chains"
    )]
    NoKey { chain: Uuid, version: i64 },
    #[error("the sealed keyring: {0}")]
    Sealed(String),
    #[error("{0}: {1}")]
    Heads(PathBuf, String),
    #[error("the key that is kept for the chains of master key version {0} is not what was kept")]
    KeptKey(KeyVersion),
    #[error("{}", .0.chain())]
    Unexpected(#[from] Unexpected),
}

/// A head as it is printed; a line of the log says more.
#[derive(Deserialize, Serialize)]
struct Printed {
    chain: Uuid,
    number: u64,
    mac: String,
}

impl AuditCommand {
    /// Does it. 0 when all is well, 78 for settings, 1 for anything else.
    pub async fn run(self, settings: Settings) -> ExitCode {
        match self.outcome(settings).await {
            Ok(told) => {
                let written = writeln!(io::stdout(), "{told}");
                ExitCode::from(u8::from(written.is_err()))
            }
            Err(AuditError::Settings(problems)) => problems.report(),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    async fn outcome(self, settings: Settings) -> Result<String, AuditError> {
        let pool = settings.service.pool()?;
        match self {
            Self::Verify { head, without } => {
                let kept = head.as_deref().map(read_heads).transpose()?;
                let kept = kept.unwrap_or_default();
                let keyring = ring(settings)?;
                let verified = verify(&keyring, &pool, kept, &without).await?;
                Ok(verified.to_string())
            }
            Self::Head => print_heads(&pool).await,
        }
    }
}

/// The master keys; of a sealed keyring, what opens it is read from standard input.
fn ring(settings: Settings) -> Result<Keyring, AuditError> {
    match (settings.keyring, settings.key_source) {
        (Some(keyring), _) => Ok(keyring),
        (None, KeySource::Sealed(path)) => {
            opened_by_standard_input(&path).map_err(AuditError::Sealed)
        }
        (None, _) => Err(AuditError::Sealed("there are no master keys".to_owned())),
    }
}

async fn print_heads(pool: &Pool) -> Result<String, AuditError> {
    let heads = store::heads(&*pool.get().await?).await?;
    let lines: Vec<_> = heads
        .into_iter()
        .map(|Head { chain, number, mac }| {
            let mac = hex::encode(mac);
            serde_json::to_string(&Printed { chain, number, mac }).expect("texts and a number")
        })
        .collect();
    Ok(lines.join("\n"))
}

fn read_heads(file: &Path) -> Result<Vec<Head>, AuditError> {
    let read = || {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        text.lines().map(head).collect::<Result<_, String>>()
    };
    read().map_err(|why| AuditError::Heads(file.to_owned(), why))
}

/// Whatever collects logs may have put something in front.
fn head(line: &str) -> Result<Head, String> {
    let wrong = || format!("is no line of `audit head`: {line}");
    let (_, json) = line.split_at(line.find('{').unwrap_or_default());
    let Printed { chain, number, mac } = serde_json::from_str(json).map_err(|_| wrong())?;
    let mac = hex::decode(mac)
        .ok()
        .and_then(|mac| Mac::try_from(mac).ok());
    let mac = mac.ok_or_else(wrong)?;
    Ok(Head { chain, number, mac })
}

/// What was looked at.
#[derive(Default)]
struct Verified {
    chains: u64,
    records: u64,
    /// Of a master key that is gone.
    unchecked: Vec<Uuid>,
}

impl std::fmt::Display for Verified {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            chains, records, ..
        } = self;
        write!(out, "{records} records in {chains} chains hold")?;
        for chain in &self.unchecked {
            write!(out, "\nheld only against what was noted of it: {chain}")?;
        }
        Ok(())
    }
}

/// The keys that chains are checked with, by versions of the master key: of those that are here, and kept ones.
struct ChainKeys<'a> {
    keyring: &'a Keyring,
    kept: HashMap<KeyVersion, KeptAuditKey>,
}

impl<'a> ChainKeys<'a> {
    async fn of(keyring: &'a Keyring, db: &Connection) -> Result<Self, AuditError> {
        let kept = kept_audit_keys::all(&**db).await?;
        let mut opened = HashMap::new();
        for Kept {
            version, sealed, ..
        } in kept
        {
            match KeptAuditKey::open(keyring, version, &sealed) {
                Ok(key) => drop(opened.insert(version, key)),
                // As good as none: its chains are told.
                Err(Damaged::UnknownVersion(_)) => {}
                Err(_) => return Err(AuditError::KeptKey(version)),
            }
        }
        Ok(Self {
            keyring,
            kept: opened,
        })
    }

    fn of_version(&self, version: i64) -> Option<ChainKey<'_>> {
        let version = KeyVersion::new(u32::try_from(version).ok()?)?;
        let kept = || Some(self.kept.get(&version)?.chain_key());
        self.keyring.chain_key(version).or_else(kept)
    }
}

/// Checks everything; `kept` is what is known from elsewhere of where chains were, `without` of which the key is gone.
async fn verify(
    keyring: &Keyring,
    pool: &Pool,
    kept: Vec<Head>,
    without: &[Uuid],
) -> Result<Verified, AuditError> {
    let db = pool.get_for_long().await?;
    let chains = store::chains(&*db).await?;
    let mut noted: HashMap<Uuid, Noted> = HashMap::new();
    let others = chains
        .iter()
        .flat_map(|chain| Head::read_all(&chain.others));
    for head in others.chain(kept) {
        let of_chain = noted.entry(head.chain).or_default();
        of_chain.entry(head.number).or_default().insert(head.mac);
    }
    let keys = ChainKeys::of(keyring, &db).await?;
    let mut verified = Verified::default();
    for chain in &chains {
        let noted = noted.remove(&chain.id).unwrap_or_default();
        let key = keys.of_version(chain.mek_version);
        // Whoever says so is believed only where there is nothing to check it with.
        let gone = key.is_none() && without.contains(&chain.id);
        if key.is_none() && !gone {
            return Err(AuditError::NoKey {
                chain: chain.id,
                version: chain.mek_version,
            });
        }
        let records = verify_chain(key, &db, chain, &noted).await?;
        if gone {
            verified.unchecked.push(chain.id);
        } else {
            verified.chains += 1;
            verified.records += records;
        }
    }
    if let Some(chain) = noted.into_keys().next() {
        return Err(broken(chain, "it is gone".to_owned()));
    }
    match store::orphaned(&*db).await? {
        Some(chain) => Err(broken(
            chain,
            "it has records and was never begun".to_owned(),
        )),
        None => Ok(verified),
    }
}

/// What was noted of a chain, by number: the log of a month has some hundred thousand heads of one.
type Noted = BTreeMap<u64, HashSet<Mac>>;

/// How many records the chain has, all of them good: by its key, or without one, as far as was noted of them.
async fn verify_chain(
    key: Option<ChainKey<'_>>,
    db: &Connection,
    stored: &StoredChain,
    noted: &Noted,
) -> Result<u64, AuditError> {
    let mut look = Look::default();
    loop {
        let page = store::records_after(&**db, stored.id, look.last, AT_ONCE).await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            let expected = look.next(stored, record)?;
            let head = match key {
                Some(key) => Some(look.recomputed(key, stored, record)),
                None => store::head(stored.id, expected, &record.mac),
            };
            check(stored, record, head, noted)?;
        }
    }
    let Some(newest) = u64::try_from(look.last).ok() else {
        return Err(broken(stored.id, "it has no records".to_owned()));
    };
    // What the numbers skip, such as a negative one, is nobody's record and would be shown to people.
    if store::number_up_to(&**db, stored.id, look.last).await? != look.last + 1 {
        let more = "has more records than it has numbers".to_owned();
        return Err(broken(stored.id, more));
    }
    match noted.last_key_value() {
        Some((last, _)) if *last > newest => Err(broken(
            stored.id,
            format!("ends with record {newest}, and record {last} was there"),
        )),
        _ => Ok(newest + 1),
    }
}

/// The record as it is stored, as it has to be, and as it was noted.
fn check(
    stored: &StoredChain,
    record: &StoredRecord,
    head: Option<Head>,
    noted: &Noted,
) -> Result<(), AuditError> {
    let wrong = |what: &str| broken(stored.id, format!("record {} is {what}", record.number));
    let head = head.filter(|head| record.mac == head.mac);
    let head = head.ok_or_else(|| wrong("not the one that was written"))?;
    let mut of_record = noted.get(&head.number).into_iter().flatten();
    if of_record.any(|mac| *mac != head.mac) {
        return Err(wrong("another than was noted"));
    }
    Ok(())
}

/// How far a chain has been looked at.
struct Look<'a> {
    chain: Option<Chain<'a>>,
    last: i64,
}

impl Default for Look<'_> {
    fn default() -> Self {
        Self {
            chain: None,
            last: -1,
        }
    }
}

impl<'a> Look<'a> {
    /// The number of the next record, which this has to be.
    fn next(&mut self, stored: &StoredChain, record: &StoredRecord) -> Result<i64, AuditError> {
        let expected = self.last + 1;
        if record.number != expected {
            let what = format!("record {expected} is missing");
            return Err(broken(stored.id, what));
        }
        self.last = expected;
        Ok(expected)
    }

    /// Where the chain is with this record, by the key.
    fn recomputed(
        &mut self,
        key: ChainKey<'a>,
        stored: &StoredChain,
        record: &StoredRecord,
    ) -> Head {
        if let Some(chain) = &mut self.chain {
            return chain.push(&record.entry);
        }
        let begun = Chain::begin(key, stored.id, &stored.others, &record.entry);
        self.chain.insert(begun).head()
    }
}

fn broken(chain: Uuid, what: String) -> AuditError {
    AuditError::Broken { chain, what }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::domain::hostile::{change, changed};

    proptest! {
        #[test]
        fn a_head_is_read_as_it_was_printed_and_says_nothing_that_is_not_in_its_line(
            chain in any::<u128>(), number in any::<u64>(), mac in any::<[u8; 32]>(),
            changes in vec(change(), 1..4), text in "\\PC{0,100}",
        ) {
            let printed = Printed { chain: Uuid::from_u128(chain), number, mac: hex::encode(mac) };
            let line = serde_json::to_string(&printed).expect("texts and a number");
            let Head { chain, number, mac } = head(&line).expect("its own line");
            prop_assert_eq!((chain, number, hex::encode(mac)), (printed.chain, printed.number, printed.mac));
            let bytes = changed(line.as_bytes(), &changes);
            let line = String::from_utf8_lossy(&bytes).to_lowercase().replace('-', "");
            if let Ok(other) = head(&String::from_utf8_lossy(&bytes)) {
                for said in [other.chain.simple().to_string(), other.number.to_string(), hex::encode(other.mac)] {
                    prop_assert!(line.contains(&said), "{} is not in {}", said, line);
                }
            }
            prop_assert!(head(&text).is_err());
        }
    }
}
