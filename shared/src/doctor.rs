//! The subcommand `doctor`: looks at everything a service needs, and says what is wrong and what to do about it.
//!
//! ```text
//! ok    database     Postgres 15.4, 11 migrations
//! FAIL  vault        the vault refuses: invalid_service_token -> put this service's key into its SERVICE_JWKS_FILE
//! ```
//!
//! One line for each check on standard output. All of them run, side by side and each for a bounded time, whatever
//! becomes of the others. None changes anything that lasts.

use std::{
    fmt,
    future::Future,
    io::{self, Write as _},
    pin::Pin,
    process::ExitCode,
    sync::Arc,
    time::Duration as Pause,
};

use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use crate::{
    access_token::Verifier,
    clock::Clock,
    postgres::{self, Condition, Migration, Pool},
    problem::Unexpected,
    vault_client::{Answered, VaultClient},
};

/// How long one check may take: longer than every limit inside one.
const LIMIT: Pause = Pause::from_secs(10);
/// Clocks further apart than this are worth a look: something does not keep them.
const NOTABLE: Duration = Duration::seconds(2);
/// Clocks further apart than this refuse each other's service tokens.
const TOO_FAR: Duration = Duration::seconds(10);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well: what is known.
    Ok(String),
    /// The service does its work, and something should be done all the same.
    Warning {
        /// What is known.
        known: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The service cannot do its work, or part of it.
    Failure {
        /// What is known.
        known: String,
        /// What to do about it.
        advice: &'static str,
    },
}

impl Finding {
    /// All is well.
    pub fn ok(known: impl Into<String>) -> Self {
        Self::Ok(known.into())
    }

    /// See [`Finding::Warning`].
    pub fn warning(known: impl Into<String>, advice: &'static str) -> Self {
        let known = known.into();
        Self::Warning { known, advice }
    }

    /// See [`Finding::Failure`].
    pub fn failure(known: impl Into<String>, advice: &'static str) -> Self {
        let known = known.into();
        Self::Failure { known, advice }
    }

    /// The same, as a matter that the service can work without.
    #[must_use]
    pub fn tolerated(self) -> Self {
        match self {
            Self::Failure { known, advice } => Self::Warning { known, advice },
            finding => finding,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(known) => out.write_str(&on_one_line(known)),
            Self::Warning { known, advice } | Self::Failure { known, advice } => {
                write!(out, "{} -> {advice}", on_one_line(known))
            }
        }
    }
}

/// Words of a server's are shown as they came, but never on a line of their own.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

type Check = Pin<Box<dyn Future<Output = Finding> + Send>>;

/// The checks of one service.
#[derive(Default)]
pub struct Doctor(Vec<(&'static str, Check)>);

impl Doctor {
    /// For a service whose settings have been read.
    pub fn new() -> Self {
        Self::default().check("settings", async {
            Finding::ok("complete and of the right form")
        })
    }

    /// Adds a check, whose line comes after those before it.
    #[must_use]
    pub fn check(
        mut self,
        name: &'static str,
        check: impl Future<Output = Finding> + Send + 'static,
    ) -> Self {
        self.0.push((name, Box::pin(check)));
        self
    }

    /// Runs all checks and prints what they found: 0 unless one failed, then 1.
    pub async fn run(self) -> ExitCode {
        let mut code = ExitCode::SUCCESS;
        for (name, finding) in self.findings(LIMIT).await {
            let word = match finding {
                Finding::Ok(_) => "ok",
                Finding::Warning { .. } => "warn",
                Finding::Failure { .. } => {
                    code = ExitCode::FAILURE;
                    "FAIL"
                }
            };
            // Nobody reads: the exit code tells all the same.
            let _ = writeln!(io::stdout(), "{word:<4}  {name:<14}  {finding}");
        }
        code
    }

    async fn findings(self, limit: Pause) -> Vec<(&'static str, Finding)> {
        let begun = self.0.into_iter();
        // Each on its own task, so that one that panics or hangs takes no other with it.
        let begun: Vec<_> = begun
            .map(|(name, check)| (name, tokio::spawn(timeout(limit, check))))
            .collect();
        let mut findings = Vec::new();
        for (name, running) in begun {
            let finding = match running.await {
                Ok(Ok(finding)) => finding,
                Ok(Err(_)) => Finding::failure(
                    format!("no end within {} s", limit.as_secs()),
                    "see whether what it asks answers at all",
                ),
                Err(_) => Finding::failure("the check itself broke", "see the log"),
            };
            findings.push((name, finding));
        }
        findings
    }
}

/// Whether the service's database is there, can be written to, and has the schema of this program.
pub async fn database(pool: Pool, migrations: &'static [Migration]) -> Finding {
    match postgres::condition(&pool, migrations).await {
        Ok(condition) => judge_database(&condition),
        Err(error) => Finding::failure(error.chain(), "start Postgres, or correct DATABASE_URL"),
    }
}

fn judge_database(condition: &Condition) -> Finding {
    let Condition {
        version,
        read_only,
        careless,
        migrations,
        pending,
        changed,
        unknown,
    } = condition;
    if *read_only {
        return Finding::failure(
            format!("Postgres {version} takes no writes: it is a standby"),
            "name the primary in DATABASE_URL, or all hosts with target_session_attrs=read-write",
        );
    }
    if !changed.is_empty() {
        return Finding::failure(
            format!(
                "ran with another text than this program's: {}",
                changed.join(", ")
            ),
            "use the program that this database was made with, or a newer one",
        );
    }
    if !pending.is_empty() {
        return Finding::warning(
            format!("migrations to come: {}", pending.join(", ")),
            "run `migrate`, or start the service, which does it",
        );
    }
    if !unknown.is_empty() {
        return Finding::warning(
            format!("migrated by a newer program: {}", unknown.join(", ")),
            "bring this program up to date",
        );
    }
    if !careless.is_empty() {
        return Finding::warning(
            format!("off in Postgres {version}: {}", careless.join(", ")),
            "turn it on: a crash takes back what people were told is kept",
        );
    }
    Finding::ok(format!("Postgres {version}, {migrations} migrations"))
}

/// Whether this machine's clock and that of Postgres agree.
pub async fn clock_of_postgres(pool: Pool, clock: Clock) -> Finding {
    let before = clock.now();
    match postgres::its_time(&pool).await {
        Ok(told) => judge_clock("Postgres", told - middle(before, clock.now())),
        Err(error) => unknown_clock("Postgres", &error.chain()),
    }
}

/// Whether the vault takes this service for itself: TLS on both sides, and a service token.
pub async fn vault(client: VaultClient, clock: Clock) -> Finding {
    match client.knock(clock.now()).await {
        Ok(Answered { refused: None, .. }) => {
            Finding::ok("answers over mutual TLS and takes this service's token")
        }
        Ok(Answered {
            refused: Some(code),
            ..
        }) => Finding::failure(
            format!("answers, and refuses this service: {code}"),
            "see that SERVICE_KEY_FILE is in the vault's SERVICE_JWKS_FILE, CLIENT_CERT_FILE names the same \
             service, and the clocks agree",
        ),
        Err(error) => Finding::failure(
            Unexpected::from(error).chain(),
            "start the vault, or correct VAULT_URL, VAULT_CA_FILE and CLIENT_CERT_FILE",
        ),
    }
}

/// Whether this machine's clock and that of the vault agree.
pub async fn clock_of_vault(client: VaultClient, clock: Clock) -> Finding {
    let before = clock.now();
    match client.knock(before).await {
        Ok(Answered {
            date: Some(told), ..
        }) => {
            // Its header has whole seconds: half a second is what is cut off on average.
            let apart = told + Duration::milliseconds(500) - middle(before, clock.now());
            judge_clock("the vault", apart)
        }
        Ok(Answered { date: None, .. }) => unknown_clock("the vault", "its answer has no date"),
        Err(error) => unknown_clock("the vault", &Unexpected::from(error).chain()),
    }
}

/// Whether identity's public keys can be fetched, which people's access tokens verify with.
pub async fn keys_of_identity(people: Arc<Verifier>) -> Finding {
    match people.fetch_keys().await {
        Ok(keys) => Finding::ok(format!("{keys} public keys of identity")),
        Err(error) => Finding::failure(
            error.chain(),
            "start identity, or correct IDENTITY_JWKS_URL",
        ),
    }
}

fn middle(before: OffsetDateTime, after: OffsetDateTime) -> OffsetDateTime {
    before + (after - before) / 2
}

fn unknown_clock(whose: &str, why: &str) -> Finding {
    Finding::warning(
        format!("the clock of {whose} is not to be had: {why}"),
        "see the check before",
    )
}

fn judge_clock(whose: &str, apart: Duration) -> Finding {
    let direction = if apart.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let known = format!(
        "{whose} is {:.1} s {direction} this machine",
        apart.abs().as_seconds_f64()
    );
    let advice = "have NTP keep the clocks of all machines";
    if apart.abs() > TOO_FAR {
        Finding::failure(known, advice)
    } else if apart.abs() > NOTABLE {
        Finding::warning(known, advice)
    } else {
        Finding::ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_that_hangs_or_panics_takes_no_other_with_it() {
        let doctor = Doctor::new()
            .check("hangs", std::future::pending())
            .check("panics", async { panic!("on purpose") })
            .check("passes", async { Finding::ok("fine") });
        let findings = doctor.findings(Pause::from_millis(50)).await;
        let names: Vec<_> = findings.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["settings", "hangs", "panics", "passes"]);
        let failed: Vec<_> = findings
            .iter()
            .map(|(_, finding)| matches!(finding, Finding::Failure { .. }))
            .collect();
        assert_eq!(failed, [false, true, true, false]);
    }

    #[test]
    fn a_finding_is_one_line_whatever_a_server_says() {
        let finding = Finding::failure("it says\nok    database  fine\r\x1b[2J", "look");
        let shown = finding.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.ends_with(" -> look"));
    }

    #[test]
    fn clocks_are_judged_alike_in_both_directions() {
        for direction in [1, -1] {
            let judged = |milliseconds: i64| {
                judge_clock("it", Duration::milliseconds(milliseconds * direction))
            };
            assert!(matches!(judged(2_000), Finding::Ok(_)));
            assert!(matches!(judged(2_001), Finding::Warning { .. }));
            assert!(matches!(judged(10_000), Finding::Warning { .. }));
            assert!(matches!(judged(10_001), Finding::Failure { .. }));
        }
        let behind = judge_clock("Postgres", Duration::seconds(-90));
        assert!(behind.to_string().starts_with("Postgres is 90.0 s behind"));
    }

    #[test]
    fn a_schema_that_changed_is_worse_than_one_that_is_old_or_new() {
        let condition = |pending: &[&'static str], changed: &[&'static str], unknown: &[&str]| {
            judge_database(&Condition {
                version: "15.4".to_owned(),
                read_only: false,
                careless: Vec::new(),
                migrations: 3,
                pending: pending.to_vec(),
                changed: changed.to_vec(),
                unknown: unknown.iter().map(ToString::to_string).collect(),
            })
        };
        assert!(matches!(condition(&[], &[], &[]), Finding::Ok(_)));
        assert!(matches!(
            condition(&["a"], &[], &[]),
            Finding::Warning { .. }
        ));
        assert!(matches!(
            condition(&[], &[], &["z"]),
            Finding::Warning { .. }
        ));
        assert!(matches!(
            condition(&["a"], &["b"], &["z"]),
            Finding::Failure { .. }
        ));
    }
}
