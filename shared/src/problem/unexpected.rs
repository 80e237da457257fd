//! What nobody foresaw: the sources are for the log, the client learns only whether to come back.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use deadpool::managed::PoolError;
use tokio_postgres::error::SqlState;

use super::{Case, Failure, INTERNAL, RECORD_UNREADABLE, UNAVAILABLE};

/// How soon a client may try again when Postgres is away: a restart takes about a second.
const POSTGRES_RETRY: Duration = Duration::from_secs(1);

/// A failure that is not part of a use case: a dependency that is away, or a bug.
#[derive(Debug)]
pub struct Unexpected(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    /// What was being done, for the log.
    what: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
    at: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Unavailable { retry_after: Duration },
    Unreadable,
    Bug,
}

impl Unexpected {
    /// Something this service needs is away: 503 `unavailable` with `Retry-After`.
    #[track_caller]
    pub fn unavailable(what: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(Kind::Unavailable { retry_after }, what)
    }

    /// What is stored does not open: somebody changed it, or put it in another's place. 409 `record_unreadable`, since
    /// nothing is wrong with this program, and asking again changes nothing.
    #[track_caller]
    pub fn unreadable(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unreadable, what)
    }

    /// A bug, or a state that should be impossible: 500 `internal`. `what` goes to the log only, but
    /// even there it names ids and never an address, a token, a key or a text.
    #[track_caller]
    pub fn bug(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Bug, what)
    }

    /// Adds the error behind it, for the log. Its `Display` must not contain secrets.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whether a dependency is away, rather than something being wrong in this program.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.0.kind, Kind::Unavailable { .. })
    }

    /// Whether what is stored does not open.
    pub fn is_unreadable(&self) -> bool {
        matches!(self.0.kind, Kind::Unreadable)
    }

    /// How soon another try makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            Kind::Unavailable { retry_after } => Some(retry_after),
            Kind::Unreadable | Kind::Bug => None,
        }
    }

    /// What happened and everything behind it, in one line for the log.
    pub fn chain(&self) -> String {
        let Inner {
            what, source, at, ..
        } = &*self.0;
        let mut chain = format!("{what} ({}:{})", at.file(), at.line());
        let mut next = source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let text = error.to_string();
            if !chain.ends_with(&text) {
                chain.push_str(": ");
                chain.push_str(&text);
            }
            next = error.source();
        }
        chain
    }

    #[track_caller]
    fn new(kind: Kind, what: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            what: what.into(),
            source: None,
            at: Location::caller(),
        }))
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            Kind::Unavailable { .. } => "Something this service needs is away; try again later.",
            Kind::Unreadable => "It was changed by something else than this service.",
            Kind::Bug => "The failure has been recorded under the request id.",
        })
    }
}

impl Error for Unexpected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl Failure for Unexpected {
    const CASES: &'static [Case] = &[UNAVAILABLE, INTERNAL];

    fn case(&self) -> &'static Case {
        match self.0.kind {
            Kind::Unavailable { .. } => &UNAVAILABLE,
            Kind::Unreadable => &RECORD_UNREADABLE,
            Kind::Bug => &INTERNAL,
        }
    }

    fn unexpected(&self) -> Option<&Self> {
        Some(self)
    }
}

impl From<tokio_postgres::Error> for Unexpected {
    #[track_caller]
    fn from(error: tokio_postgres::Error) -> Self {
        if is_away(&error) {
            Self::unavailable("postgres", POSTGRES_RETRY)
        } else {
            Self::bug("postgres")
        }
        .caused_by(without_values(error))
    }
}

impl From<PoolError<tokio_postgres::Error>> for Unexpected {
    #[track_caller]
    fn from(error: PoolError<tokio_postgres::Error>) -> Self {
        match error {
            // Whatever goes wrong while connecting, a wrong password included, is cured outside.
            PoolError::Backend(error) => {
                Self::unavailable("connecting to postgres", POSTGRES_RETRY)
                    .caused_by(without_values(error))
            }
            PoolError::Timeout(_) | PoolError::Closed => {
                Self::unavailable("waiting for a postgres connection", POSTGRES_RETRY)
                    .caused_by(error)
            }
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::bug("postgres pool").caused_by(error)
            }
        }
    }
}

/// Whether the server, and not the statement, is the reason (SQLSTATE classes of PostgreSQL
/// appendix A): lost connection, start-up and shutdown, resources, a lost race, a standby.
fn is_away(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        let class = code.code().get(..2).unwrap_or_default();
        return matches!(class, "08" | "40" | "53" | "57" | "58")
            || *code == SqlState::LOCK_NOT_AVAILABLE
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION;
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    error.is_closed()
}

/// Data exceptions (class 22) quote the value that did not fit: only their code may be logged. The `DETAIL` of any other
/// failure quotes keys and whole rows, and is part of its `Display`.
fn without_values(error: tokio_postgres::Error) -> Box<dyn Error + Send + Sync> {
    let Some(told) = error.as_db_error() else {
        return error.into();
    };
    let code = told.code().code();
    if code.starts_with("22") {
        format!("data exception {code}").into()
    } else {
        format!("{}: {} ({code})", told.severity(), told.message()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_line_names_the_place_and_every_source_once() {
        let unexpected = Unexpected::bug("row of account 7 does not parse")
            .caused_by(std::io::Error::other("short"));
        let chain = unexpected.chain();
        assert!(
            chain.starts_with("row of account 7 does not parse (shared/src/problem/unexpected.rs:")
        );
        assert!(chain.ends_with("): short"), "{chain}");
    }

    #[test]
    fn what_is_away_says_when_to_come_back_and_a_bug_does_not() {
        let away = Unexpected::unavailable("vault", Duration::from_secs(2));
        assert_eq!(away.case().status, 503);
        assert_eq!(Failure::retry_after(&away), Some(Duration::from_secs(2)));
        assert_eq!(Unexpected::bug("x").case().status, 500);
        assert_eq!(Failure::retry_after(&Unexpected::bug("x")), None);
    }

    #[tokio::test]
    async fn a_refused_connection_is_unavailable() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = unused.local_addr().expect("it is bound").port();
        drop(unused);
        let url = format!("postgres://nobody@127.0.0.1:{port}/none");
        let Err(error) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await else {
            panic!("nobody listens there");
        };
        assert!(Unexpected::from(error).is_unavailable());
    }
}
