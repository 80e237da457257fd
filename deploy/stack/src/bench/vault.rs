//! The vault: what one wrap costs, what one unwrap costs beside an empty handler, what batches save, how long people wait,
//! and whether memory stays where it is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stack::{Binaries, Failure, Person, Profile, Progress, Service, Stack, mebibytes};

use super::connection::Door;
use super::counterpart::{Counterpart, Running};
use super::load::{Questions, Until, as_fast_as_answered, at_a_pace};
use super::questions::{Vault, unanswered};
use super::{Table, cryptography};

/// The example of the vault's crate that it is compared with.
const EMPTY_HANDLER: &str = "empty_handler";
/// Two refusals that take as long, so that nobody learns by the time which it was.
const WRONG_KEY: &str = "unwrap of a wrong key";
const TAMPERED: &str = "unwrap of tampered bytes";
/// Keys in a batch.
const BATCH: u32 = 100;
/// What one service has open when it asks for many keys, in batches or one by one.
const FEW: u32 = 8;
/// Of the loads that are compared; they take turns, and the median counts.
const ROUNDS: usize = 3;
/// At the memory, in each half of the unwraps over which it is watched.
const LOOKS: u64 = 25;
/// More than any load here asks for: the limits are not what is measured.
const NO_LIMIT: &str = "1000000000";
const IDLE_KIB: u64 = 30 * 1024;
/// What a process may grow by and still be flat: it is measured in whole pages, of several threads.
const FLAT_KIB: u64 = 1024;

#[derive(Args)]
pub(crate) struct Options {
    /// People whose keys are opened
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    people: u32,
    /// Unwraps over which memory is watched
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    unwraps: u64,
    /// Seconds of each load
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections at once, for as much as the machine gives: with fewer it rests while records are written to the disk
    #[arg(long, value_name = "N", default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Leave out what takes a release build of the vault's tests
    #[arg(long)]
    without_cryptography: bool,
    /// Take the binaries in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            people: 2_000,
            unwraps: 50_000,
            seconds: 4,
            connections: 320,
            without_cryptography: false,
            binaries: None,
        }
    }
}

pub(crate) async fn measure(
    options: &Options,
    table: &mut Table,
    progress: Progress,
) -> Result<(), Failure> {
    let (binaries, empty) = match &options.binaries {
        Some(folder) => (
            Binaries::in_folder(folder)?,
            Counterpart::in_folder(EMPTY_HANDLER, folder),
        ),
        None => (
            Binaries::build(Profile::Release, progress).await?,
            Counterpart::built(EMPTY_HANDLER).await?,
        ),
    };
    if !options.without_cryptography {
        judge_cryptography(table).await?;
    }
    let stack = started(binaries, progress).await?;
    let idle = resident(&stack)?;
    let handler = empty_handler(&empty, &stack).await?;
    let vault = Vault::seen_by(&stack, Service::Identity, options.connections)?;
    progress.step("people", format_args!("making {} …", options.people));
    let people = vault.people(options.people).await?;
    let after_people = resident(&stack)?;
    let (single, door) = (
        vault.unwrap(&people, 1),
        Door::new(&stack, handler.address, Service::Identity)?,
    );
    let loads = Loads {
        empty: unanswered(door, &single),
        few: vault.unwrap(&people, 1).on(FEW),
        batch: vault.unwrap(&people, BATCH).on(FEW),
        single,
        journal: diary(&stack, options.connections).await?,
        time: Duration::from_secs(options.seconds),
        progress,
    };
    let fastest = loads.judge_throughput(table).await?;
    loads.judge_latency(fastest, table).await?;
    let rested = resident(&stack)?;
    progress.step("memory", format_args!("{} unwraps …", options.unwraps));
    // What the allocator keeps for a load of this kind it has by the middle; what goes on growing is a leak.
    let halfway = watched(&stack, &loads.single, options.unwraps / 2).await?;
    let worked = watched(&stack, &loads.single, options.unwraps / 2).await?;
    judge_memory(
        &[idle, after_people, rested, halfway, worked],
        (options.people, options.unwraps),
        table,
    );
    stack.stop().await
}

async fn judge_cryptography(table: &mut Table) -> Result<(), Failure> {
    let measured = cryptography::measured().await?;
    let of = |wanted: &str| measured.iter().find(|(name, _)| name == wanted);
    let (Some((_, wrong_key)), Some((_, tampered))) = (of(WRONG_KEY), of(TAMPERED)) else {
        return Err(Failure::new("the refusals were not measured"));
    };
    let share = wrong_key / tampered;
    table.judge(
        "a wrong key beside tampered bytes",
        format!("{share:.2} times"),
        "0.9 to 1.1",
        (0.9..=1.1).contains(&share),
    );
    for (name, nanos) in &measured {
        let measured = format!("{:.2} µs", nanos / 1_000.0);
        let what = format!("cryptography of one {name}");
        if name == "wrap" {
            table.judge(&what, measured, "<= 2 µs", *nanos <= 2_000.0);
        } else {
            table.tell(&what, measured);
        }
    }
    Ok(())
}

/// With servers that write to the disk, or the audit would cost nothing.
async fn started(binaries: Binaries, progress: Progress) -> Result<Stack, Failure> {
    Stack::builder()
        .ephemeral()
        .durable()
        .binaries(binaries)
        .progress(progress)
        .set("LIMIT_PER_SECOND", NO_LIMIT)
        .set("LIMIT_PER_DAY", NO_LIMIT)
        .set("LIMIT_PEOPLE_PER_HOUR", NO_LIMIT)
        .start()
        .await
}

/// Answers nothing, with the vault's accept loop, certificate, demand for a client certificate, log and counters.
async fn empty_handler(empty: &Counterpart, stack: &Stack) -> Result<Running, Failure> {
    let tls = stack.addresses().stack_dir.join("tls");
    let settings = [
        ("TLS_CERT_FILE", tls.join("vault.pem")),
        ("TLS_KEY_FILE", tls.join("vault.key")),
        ("TLS_CLIENT_CA_FILE", stack.addresses().ca_file.clone()),
    ];
    let settings = settings.map(|(name, path)| (name, path.display().to_string()));
    empty.start(stack, &settings).await
}

/// The journal, with somebody who reads their diary.
async fn diary(stack: &Stack, connections: u32) -> Result<Questions, Failure> {
    let ada = Person::try_new(stack.addresses(), "ada").await?;
    let journal = Vault::seen_by(stack, Service::Journal, connections)?;
    let key = journal.diary_of(&ada).await?;
    Ok(journal.unwrap_for(&ada, &key))
}

/// What the vault holds while it answers so many: the median of several looks, as from one to the next it gives back and
/// takes a MiB or two.
async fn watched(stack: &Stack, load: &Questions, unwraps: u64) -> Result<u64, Failure> {
    let mut kib = Vec::new();
    for _ in 0..LOOKS {
        as_fast_as_answered(load, Until::Number(unwraps / LOOKS)).await?;
        kib.push(resident(stack)?);
    }
    kib.sort_unstable();
    Ok(kib.get(kib.len() / 2).copied().unwrap_or_default())
}

fn resident(stack: &Stack) -> Result<u64, Failure> {
    let footprints = stack.footprints()?;
    let vault = footprints.iter().find(|it| it.service == Service::Vault);
    let resident = vault.map(|it| it.resident_kib);
    resident.ok_or_else(|| Failure::new("the vault does not run"))
}

struct Loads {
    empty: Questions,
    single: Questions,
    few: Questions,
    batch: Questions,
    journal: Questions,
    time: Duration,
    progress: Progress,
}

impl Loads {
    /// The singles per second.
    async fn judge_throughput(&self, table: &mut Table) -> Result<f64, Failure> {
        let mut rounds = [const { Vec::new() }; 5];
        for round in 1..=ROUNDS {
            let step = format_args!("round {round} of {ROUNDS} …");
            self.progress.step("throughput", step);
            let loads = [
                &self.empty,
                &self.single,
                &self.few,
                &self.batch,
                &self.journal,
            ];
            for (load, rates) in loads.into_iter().zip(&mut rounds) {
                let load = as_fast_as_answered(load, Until::Time(self.time)).await?;
                rates.push(load.per_second());
            }
        }
        let [empty, single, few, batch, journal] = rounds;
        let keys: Vec<_> = batch.iter().map(|rate| rate * f64::from(BATCH)).collect();
        let ratio =
            |of: &[f64], to: &[f64]| median(of.iter().zip(to).map(|(of, to)| of / to).collect());
        table.tell("empty handler", format!("{:.0} /s", median(empty.clone())));
        let share = ratio(&single, &empty);
        let fastest = median(single.clone());
        table.tell("single unwraps", format!("{fastest:.0} /s"));
        let shown = |share: f64| format!("{:.0} %", share * 100.0);
        table.judge(
            "of the empty handler",
            shown(share),
            ">= 40 %",
            share >= 0.4,
        );
        table.tell(
            "singles with a person's token",
            format!("{:.0} /s", median(journal)),
        );
        let (gain, gain_at_most) = (ratio(&keys, &few), ratio(&keys, &single));
        let on = |what: &str| format!("{what}, on {FEW} connections");
        table.tell(&on("single unwraps"), format!("{:.0} /s", median(few)));
        table.tell(
            &on("keys in batches of 100"),
            format!("{:.0} /s", median(keys)),
        );
        table.judge(
            "times those singles",
            format!("{gain:.1}"),
            ">= 10",
            gain >= 10.0,
        );
        table.tell("times the most singles", format!("{gain_at_most:.1}"));
        Ok(fastest)
    }

    async fn judge_latency(&self, fastest: f64, table: &mut Table) -> Result<(), Failure> {
        let pace = fastest / 2.0;
        self.progress
            .step("latency", format_args!("at {pace:.0} /s …"));
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let load = at_a_pace(&self.single, pace, self.time).await?;
            let (p50, p99) = (load.within(500), load.within(990));
            ratios.push((p99.as_secs_f64() / p50.as_secs_f64(), p50, p99));
        }
        ratios.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let Some((ratio, p50, p99)) = ratios.get(ROUNDS / 2) else {
            return Ok(());
        };
        let millis = |time: &Duration| format!("{:.2} ms", time.as_secs_f64() * 1_000.0);
        table.tell("p50 at half load", millis(p50));
        table.tell("p99 at half load", millis(p99));
        table.judge("p99 / p50", format!("{ratio:.1}"), "< 4", *ratio < 4.0);
        Ok(())
    }
}

/// After the start, when everybody has a key, after the loads, and in each half of the unwraps.
fn judge_memory(kib: &[u64; 5], (people, unwraps): (u32, u64), table: &mut Table) {
    let shown = |kib: u64| format!("{:.1} MiB", mebibytes(kib));
    let [idle, after_people, rested, halfway, worked] = *kib;
    table.judge(
        "memory when idle",
        shown(idle),
        "<= 30 MiB",
        idle <= IDLE_KIB,
    );
    table.tell(
        &format!("memory with {people} people in an hour"),
        shown(after_people),
    );
    table.tell("memory after the loads", shown(rested));
    let half = unwraps / 2;
    table.tell(&format!("memory over {half} unwraps"), shown(halfway));
    let grown = worked.saturating_sub(halfway);
    let what = format!("more over {half} further ones");
    table.judge(&what, shown(grown), "<= 1 MiB", grown <= FLAT_KIB);
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
