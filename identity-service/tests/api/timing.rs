//! Nothing that a stranger measures tells whether an address is known.
//!
//! Each round asks one question about an address of every standing, in an order of its own, so that what slows the
//! machine slows all of them. A difference is *usable* when the rank test says that it is no accident (|z| ≥ 4, one
//! pair of equal distributions in 16,000) **and** the medians lie further apart than a bound. The bound of the short run
//! is a quarter: a compare that is missing or made twice shows, and a busy machine does not. That of the long run, at
//! the cost of production and on a machine that does nothing else, is a tenth and 1 ms: of an answer that compares, 1 ms
//! is half a percent, of one that does not, a tenth is 0.2 ms, a quarter of one statement in the database.
//!
//!     cargo stack test -p identity-service --run-ignored only timing

use std::{
    fmt,
    time::{Duration, Instant},
};

use shared::random;

use crate::{
    no_enumeration::{Question, Standing},
    rank_test::{mann_whitney, median},
    replica::{Region, Replica},
    service::Service,
};

const Z: f64 = 4.0;

/// How far the medians of two standings may lie apart: neither by more than the part, nor by more than the time.
#[derive(Clone, Copy)]
struct Bound {
    part: f64,
    time: Duration,
}

impl Bound {
    fn part(part: f64) -> Self {
        let time = Duration::MAX;
        Self { part, time }
    }

    fn exceeded(self, one: Duration, other: Duration) -> bool {
        let apart = one.abs_diff(other);
        apart.div_duration_f64(one.min(other)) > self.part || apart > self.time
    }
}

/// What answering about addresses of one standing took.
struct Measured {
    label: &'static str,
    email: String,
    standing: Standing,
    times: Vec<Duration>,
}

impl Measured {
    fn none((label, standing, email): (&'static str, Standing, String)) -> Self {
        Self {
            label,
            email,
            standing,
            times: Vec::new(),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.label, median(&self.times))
    }
}

/// A service that hashes at the cost the test is about, and an address of every standing.
struct Bench {
    region: Region,
    replica: Replica,
    addresses: Vec<(&'static str, Standing, String)>,
}

impl Bench {
    async fn at_cost(cost: &str) -> Self {
        let mut region = Region::new().await;
        let cheap = region.start().await;
        let old = Standing::Known.address(&cheap.service).await;
        region.set("BCRYPT_COST", cost);
        let replica = region.start().await;
        // Nobody has used it since the cost was raised.
        let mut addresses = vec![("of an older cost", Standing::Known, old)];
        for (label, standing) in [
            ("known", Standing::Known),
            ("unknown", Standing::Unknown),
            ("unverified", Standing::Unverified),
            ("disabled", Standing::Disabled),
        ] {
            let email = standing.address(&replica.service).await;
            addresses.push((label, standing, email));
        }
        Self {
            region,
            replica,
            addresses,
        }
    }

    async fn ask(&self, question: Question<'_>, rounds: usize) -> Vec<Measured> {
        self.measure(question, rounds, false).await
    }

    /// Logs in so many rounds. Each leaves its row for the trail, as in earnest: an answer that went without would have
    /// waited for the vault in vain.
    async fn ask_to_log_in(&self, rounds: usize) -> Vec<Measured> {
        self.replica.service.copy_failed_logins().await;
        let measured = self.measure(Question::Login, rounds, false).await;
        let rows = self.replica.service.count("noted").await;
        assert_eq!(usize::try_from(rows), Ok(rounds * self.addresses.len()));
        measured
    }

    /// Logs in so many rounds after every address was locked out.
    async fn ask_locked(&self, rounds: usize) -> Vec<Measured> {
        self.forget_failures().await;
        for (_, _, email) in &self.addresses {
            self.replica.service.lock_out(email).await;
        }
        self.measure(Question::Login, rounds, true).await
    }

    /// As the end of a quarter of an hour does, without moving the clock: the vault takes no token from the future.
    async fn forget_failures(&self) {
        let forgotten = self.region.database().await;
        let forgotten = forgotten.execute("DELETE FROM lockouts", &[]).await;
        forgotten.expect("the table is the service's own");
    }

    async fn measure(&self, question: Question<'_>, rounds: usize, locked: bool) -> Vec<Measured> {
        let mut measured: Vec<_> = self.addresses.iter().cloned().map(Measured::none).collect();
        for round in 0..rounds {
            self.region.catch_up();
            // Before the fifth failure.
            if matches!(question, Question::Login) && !locked && round % 4 == 0 {
                self.forget_failures().await;
            }
            for at in shuffled(measured.len()) {
                let one = &mut measured[at];
                let took = time(&self.replica.service, question, one, locked).await;
                one.times.push(took);
            }
        }
        measured
    }
}

/// Fails when wrong logins for two addresses can be told apart by their time.
pub(crate) async fn take_the_same_time(
    region: Region,
    replica: Replica,
    known: &str,
    unknown: &str,
) {
    let bench = Bench {
        region,
        replica,
        addresses: vec![
            ("known", Standing::Known, known.to_owned()),
            ("unknown", Standing::Known, unknown.to_owned()),
        ],
    };
    let measured = bench.ask_to_log_in(100).await;
    judge("login", &measured, Bound::part(0.1));
}

async fn time(identity: &Service, question: Question<'_>, of: &Measured, locked: bool) -> Duration {
    let begun = Instant::now();
    let answer = question.ask(identity, &of.email, of.standing).await;
    let took = begun.elapsed();
    assert_eq!(
        answer.status == 429,
        locked,
        "{}: {}",
        of.label,
        answer.text
    );
    assert!(answer.status < 500, "{}", answer.text);
    took
}

fn shuffled(number: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..number).collect();
    order.sort_by_cached_key(|_| random::bytes::<8>());
    order
}

/// Fails with all differences that could be used.
fn judge(what: &str, measured: &[Measured], bound: Bound) {
    let mut usable = Vec::new();
    for (at, one) in measured.iter().enumerate() {
        for other in &measured[at + 1..] {
            let z = mann_whitney(&one.times, &other.times);
            let apart = bound.exceeded(median(&one.times), median(&other.times));
            eprintln!("{what}: {one}, {other}, z {z:.1}");
            if z.abs() >= Z && apart {
                usable.push(format!("{one}, {other}, z {z:.1}"));
            }
        }
    }
    assert!(usable.is_empty(), "{what}: {usable:#?}");
}

/// What an outsider can measure, in so many rounds.
async fn judge_all(cost: &str, rounds: usize, bound: Bound) {
    let bench = Bench::at_cost(cost).await;
    judge("sign-up", &bench.ask(Question::SignUp, rounds).await, bound);
    judge("resend", &bench.ask(Question::Resend, rounds).await, bound);
    judge("forgot", &bench.ask(Question::Forgot, rounds).await, bound);
    let (_, asker) = bench.replica.service.newcomer().await;
    let wanted = Question::ChangeAddress(&asker);
    judge("change of address", &bench.ask(wanted, rounds).await, bound);
    judge("login", &bench.ask_to_log_in(rounds).await, bound);
    judge("locked", &bench.ask_locked(rounds).await, bound);
}

#[tokio::test]
async fn no_time_tells_the_standing_of_an_address() {
    judge_all("8", 50, Bound::part(0.25)).await;
}

/// At the cost of production, and to the millisecond.
#[tokio::test]
#[ignore = "takes a quarter of an hour on a machine that does nothing else"]
async fn in_the_long_run_no_time_tells_the_standing_of_an_address() {
    let bound = Bound {
        part: 0.1,
        time: Duration::from_millis(1),
    };
    judge_all("12", 200, bound).await;
}
