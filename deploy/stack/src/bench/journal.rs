//! The journal: what sealing costs beside the same work in clear, how long a search takes, and what a search and an export
//! hold in memory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;
use stack::{Binaries, Failure, Person, Profile, Progress, Service, Stack, mebibytes};
use time::Date;
use tokio::time::sleep;

use super::Table;
use super::connection::Door;
use super::counterpart::{Counterpart, Running};
use super::load::{Questions, Requests, Until, as_fast_as_answered};

/// The example of the journal's crate that it is compared with.
const PLAIN_JOURNAL: &str = "plain_journal";
/// Entries of somebody who wrote one a day for ten years.
const TEN_YEARS: u64 = 3_650;
const BODY: usize = 2 * 1024;
const PAGE: u64 = 50;
/// People who write. One person's entries are written one after the other, for the feed of changes: few of them meet.
const WRITERS: usize = 64;
/// Of loads that are compared; they take turns, and the median counts.
const ROUNDS: usize = 3;
const SEARCHES: usize = 15;
const SEARCH_LIMIT: Duration = Duration::from_millis(100);
const SEARCH_KIB: u64 = 16 * 1024;
/// Exports that are compared: what the long one holds beyond the short one must not depend on its length.
const SHORT_EXPORT: u64 = 1_000;
const LONG_EXPORT: u64 = 10_000;
const CONSTANT_KIB: u64 = 1024;
/// Between two looks at the journal's memory.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds of each load
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Take the binaries in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 4,
            connections: 16,
            binaries: None,
        }
    }
}

pub(crate) async fn measure(
    options: &Options,
    table: &mut Table,
    progress: Progress,
) -> Result<(), Failure> {
    let (binaries, plain) = match &options.binaries {
        Some(folder) => (
            Binaries::in_folder(folder)?,
            Counterpart::in_folder(PLAIN_JOURNAL, folder),
        ),
        None => (
            Binaries::build(Profile::Release, progress).await?,
            Counterpart::built(PLAIN_JOURNAL).await?,
        ),
    };
    let mut stack = Stack::builder()
        .ephemeral()
        .durable()
        .loose_rate_limits()
        .binaries(binaries)
        .progress(progress)
        .start()
        .await?;
    let plain = plain_journal(&plain, &stack).await?;
    let people = people(&stack, progress).await?;
    let journal = address(&stack)?;
    let bench = Bench {
        sealed: Side::new(journal, &people),
        plain: Side::new(plain.address, &people),
        connections: options.connections,
        time: Duration::from_secs(options.seconds),
        progress,
    };
    bench.judge_lists(table).await?;
    if let Some(ada) = people.first() {
        judge_search(&mut stack, ada, table, progress).await?;
    }
    bench.judge_writing(table).await?;
    judge_export(&mut stack, &bench, table).await?;
    stack.stop().await
}

/// With the journal's own database and what it knows of tokens.
async fn plain_journal(plain: &Counterpart, stack: &Stack) -> Result<Running, Failure> {
    let addresses = stack.addresses();
    let identity = &addresses.api.identity;
    let settings = [
        ("DATABASE_URL", addresses.database.journal.clone()),
        ("ISSUER", identity.clone()),
        (
            "IDENTITY_JWKS_URL",
            format!("{identity}/.well-known/jwks.json"),
        ),
        ("MALLOC_ARENA_MAX", "2".to_owned()),
    ];
    plain.start(stack, &settings).await
}

async fn people(stack: &Stack, progress: Progress) -> Result<Vec<Person>, Failure> {
    progress.step("people", format_args!("{WRITERS} sign up …"));
    let mut people = Vec::new();
    for number in 0..WRITERS {
        people.push(Person::try_new(stack.addresses(), &format!("writer.{number}")).await?);
    }
    Ok(people)
}

fn address(stack: &Stack) -> Result<SocketAddr, Failure> {
    let url = &stack.addresses().api.journal;
    let address = url.strip_prefix("http://").and_then(|it| it.parse().ok());
    address.ok_or_else(|| Failure::new("the journal has no address"))
}

/// One of the two that are compared, and the tokens of those who use it.
struct Side {
    door: Door,
    tokens: Arc<Vec<String>>,
}

impl Side {
    fn new(address: SocketAddr, people: &[Person]) -> Self {
        let tokens = people.iter().map(|person| person.access_token.clone());
        Self {
            door: Door::plain(address),
            tokens: Arc::new(tokens.collect()),
        }
    }

    /// Entries of these people, one after the other, each of 2 KiB and of another day.
    fn writing(&self, connections: u32, writers: usize) -> Questions {
        self.writing_to("/api/entries", connections, writers)
    }

    fn writing_to(&self, path: &'static str, connections: u32, writers: usize) -> Questions {
        let tokens = Arc::clone(&self.tokens);
        let requests: Requests = Arc::new(move |number, request| {
            let writer = usize::try_from(number).unwrap_or(0) % writers;
            let token = tokens.get(writer).map_or("", String::as_str);
            let body = draft(number);
            let length = body.len();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            request.extend_from_slice(head.as_bytes());
            request.extend_from_slice(body.as_bytes());
        });
        Questions {
            door: self.door.clone(),
            connections,
            requests,
            status: 201,
            expected: Arc::new(|_, body| body.len() > BODY),
        }
    }

    /// Pages of fifty of the first person's, each from another day back.
    fn listing(&self, connections: u32) -> Questions {
        let tokens = Arc::clone(&self.tokens);
        let requests: Requests = Arc::new(move |number, request| {
            let token = tokens.first().map_or("", String::as_str);
            // The oldest page has fifty before it.
            let to = day(PAGE + number.wrapping_mul(7_919) % (TEN_YEARS - PAGE));
            let head = format!(
                "GET /api/entries?to={to}&limit={PAGE} HTTP/1.1\r\nhost: 127.0.0.1\r\n\
                 authorization: Bearer {token}\r\n\r\n"
            );
            request.extend_from_slice(head.as_bytes());
        });
        let whole = BODY * usize::try_from(PAGE).unwrap_or(usize::MAX);
        Questions {
            door: self.door.clone(),
            connections,
            requests,
            status: 200,
            expected: Arc::new(move |_, body| body.len() > whole),
        }
    }
}

/// The entry of this number: 2 KiB of words.
fn draft(number: u64) -> String {
    let mut body = String::with_capacity(BODY + 16);
    let mut word = number;
    while body.len() < BODY {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.push_str(WORDS.get((word >> 60) as usize).copied().unwrap_or("and"));
        body.push(' ');
    }
    let date = day(number % TEN_YEARS);
    format!(
        r#"{{"date":"{date}","title":"Day {number}","body":"{body}","mood":7,"tags":["outside","work"],"completed":true}}"#
    )
}

const WORDS: [&str; 16] = [
    "morning", "river", "walked", "along", "quiet", "coffee", "letter", "garden", "evening",
    "train", "rain", "music", "bread", "talked", "slowly", "window",
];

fn day(number: u64) -> Date {
    let first = Date::MIN.replace_year(2016).unwrap_or(Date::MIN);
    let days = i64::try_from(number).unwrap_or(0);
    first.saturating_add(time::Duration::days(days))
}

struct Bench {
    sealed: Side,
    plain: Side,
    connections: u32,
    time: Duration,
    progress: Progress,
}

impl Bench {
    /// Both sides get the same ten years of one person first.
    async fn judge_lists(&self, table: &mut Table) -> Result<(), Failure> {
        self.progress
            .step("lists", format_args!("writing {TEN_YEARS} entries twice …"));
        for side in [&self.sealed, &self.plain] {
            let writing = side.writing(self.connections, 1);
            as_fast_as_answered(&writing, Until::Number(TEN_YEARS)).await?;
        }
        let lists = [&self.sealed, &self.plain].map(|side| side.listing(self.connections));
        let what = format!("lists of {PAGE} entries of 2 KiB");
        self.judge_share(&what, &lists, 0.6, table).await
    }

    async fn judge_writing(&self, table: &mut Table) -> Result<(), Failure> {
        let writing =
            [&self.sealed, &self.plain].map(|side| side.writing(self.connections, WRITERS));
        self.judge_share("entries written", &writing, 0.7, table)
            .await?;
        let (sealed, plain) = (&self.sealed, &self.plain);
        let bare = plain.writing_to("/api/bare-entries", self.connections, WRITERS);
        let sealed = sealed.writing(self.connections, WRITERS);
        let (share, _, bare) = self.share("bare inserts", &[sealed, bare]).await?;
        table.tell("in clear, and nobody can follow", format!("{bare:.0} /s"));
        table.tell("of those", format!("{:.0} %", share * 100.0));
        Ok(())
    }

    /// What is sealed beside the same in clear.
    async fn judge_share(
        &self,
        what: &str,
        loads: &[Questions; 2],
        least: f64,
        table: &mut Table,
    ) -> Result<(), Failure> {
        let (share, sealed, plain) = self.share(what, loads).await?;
        table.tell(what, format!("{sealed:.0} /s"));
        table.tell("the same in clear", format!("{plain:.0} /s"));
        let target = format!(">= {:.0} %", least * 100.0);
        let shown = format!("{:.0} %", share * 100.0);
        table.judge("of what is in clear", shown, &target, share >= least);
        Ok(())
    }

    /// The median share, and the two rates of its round.
    async fn share(
        &self,
        what: &str,
        [sealed, plain]: &[Questions; 2],
    ) -> Result<(f64, f64, f64), Failure> {
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            self.progress
                .step("load", format_args!("{what}, round {round} of {ROUNDS} …"));
            let sealed = as_fast_as_answered(sealed, Until::Time(self.time)).await?;
            let plain = as_fast_as_answered(plain, Until::Time(self.time)).await?;
            let (sealed, plain) = (sealed.per_second(), plain.per_second());
            rounds.push((sealed / plain, sealed, plain));
        }
        rounds.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let median = rounds.get(ROUNDS / 2).copied();
        median.ok_or_else(|| Failure::new("nothing was measured"))
    }
}

/// A journal that has just been started, with the person's key in memory; the memory that it takes.
async fn fresh(stack: &mut Stack, person: &Person) -> Result<u64, Failure> {
    stack.start_service(Service::Journal).await?;
    person
        .journal(Method::GET, "/entries?limit=1", None)
        .await?;
    resident(stack)
}

/// Words that no entry has, so that every one of them is opened and looked through; and one that most have.
async fn judge_search(
    stack: &mut Stack,
    ada: &Person,
    table: &mut Table,
    progress: Progress,
) -> Result<(), Failure> {
    progress.step("search", format_args!("{SEARCHES} times …"));
    let before = fresh(stack, ada).await?;
    let (mut took, peak) = watched(stack, searches(ada)).await?;
    took.sort_unstable();
    let median = took.get(SEARCHES / 2).copied().unwrap_or_default();
    table.judge(
        &format!("search in {TEN_YEARS} entries of 2 KiB"),
        format!("{:.0} ms", median.as_secs_f64() * 1_000.0),
        "<= 100 ms",
        median <= SEARCH_LIMIT,
    );
    let more = peak.saturating_sub(before);
    table.judge(
        "memory beyond that before it",
        format!("{:.1} MiB", mebibytes(more)),
        "<= 16 MiB",
        more <= SEARCH_KIB,
    );
    Ok(())
}

/// What those took that find nothing.
async fn searches(ada: &Person) -> Result<Vec<Duration>, Failure> {
    let mut took = Vec::new();
    for _ in 0..SEARCHES {
        let began = Instant::now();
        let nothing = ada
            .journal(Method::GET, "/entries?q=zeppelin", None)
            .await?;
        took.push(began.elapsed());
        let much = "/entries?q=river&limit=100";
        let much = ada.journal(Method::GET, much, None).await?;
        if nothing.status != 200 || much.status != 200 || !nothing.text("/next").is_empty() {
            let told = format!("a search ended early: {} {}", nothing.status, much.status);
            return Err(Failure::new(told));
        }
    }
    Ok(took)
}

/// Two more people write what is exported.
async fn judge_export(stack: &mut Stack, bench: &Bench, table: &mut Table) -> Result<(), Failure> {
    let mut authors = Vec::new();
    for entries in [SHORT_EXPORT, LONG_EXPORT] {
        let writing = format_args!("writing {entries} entries …");
        bench.progress.step("export", writing);
        let author = Person::try_new(stack.addresses(), &format!("author.{entries}")).await?;
        let side = Side::new(address(stack)?, std::slice::from_ref(&author));
        let writing = side.writing(bench.connections, 1);
        as_fast_as_answered(&writing, Until::Number(entries)).await?;
        authors.push((author, entries));
    }
    for format in ["ndjson", "markdown"] {
        let mut took = Vec::new();
        for (author, entries) in &authors {
            let before = fresh(stack, author).await?;
            let began = Instant::now();
            let (bytes, peak) = watched(stack, exported(stack, author, format)).await?;
            let speed = mebibytes(bytes / 1024) / began.elapsed().as_secs_f64();
            if bytes < entries * BODY as u64 {
                return Err(Failure::new(format!("an export of {bytes} bytes")));
            }
            table.tell(
                &format!("export of {entries} entries as {format}"),
                format!("{speed:.0} MiB/s"),
            );
            took.push(peak.saturating_sub(before));
        }
        judge_growth(format, &took, table);
    }
    Ok(())
}

/// An archive has a list of its documents at its end, which has to be remembered until then.
fn judge_growth(format: &str, took: &[u64], table: &mut Table) {
    let [short, long] = took else {
        return;
    };
    let more = long.saturating_sub(*short);
    let what = format!(
        "memory of the long one, beyond that of the short one's {:.1} MiB",
        mebibytes(*short)
    );
    let shown = format!("{:.1} MiB", mebibytes(more));
    if format == "ndjson" {
        table.judge(&what, shown, "<= 1 MiB", more <= CONSTANT_KIB);
    } else {
        table.tell(&what, shown);
    }
}

/// The bytes of a whole export, none of which is kept.
async fn exported(stack: &Stack, author: &Person, format: &str) -> Result<u64, Failure> {
    let url = format!(
        "{}/api/export?format={format}",
        stack.addresses().api.journal
    );
    let client = reqwest::Client::builder()
        .timeout(Duration::from_mins(2))
        .build()
        .map_err(Failure::when("make a client"))?;
    let request = client.get(url).bearer_auth(&author.access_token);
    let doing = "read an export";
    let mut answer = request.send().await.map_err(Failure::when(doing))?;
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await.map_err(Failure::when(doing))? {
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

fn resident(stack: &Stack) -> Result<u64, Failure> {
    let footprints = stack.footprints()?;
    let journal = footprints.iter().find(|it| it.service == Service::Journal);
    let resident = journal.map(|it| it.resident_kib);
    resident.ok_or_else(|| Failure::new("the journal does not run"))
}

/// The most memory that the journal had while that was done.
async fn watched<T>(
    stack: &Stack,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<(T, u64), Failure> {
    let mut peak = resident(stack)?;
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok((done?, peak)),
            () = sleep(LOOK) => peak = peak.max(resident(stack)?),
        }
    }
}
