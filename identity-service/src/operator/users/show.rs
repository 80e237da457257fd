//! `users show`: one account, with its address.

use std::fmt::Write as _;

use serde::Serialize;
use shared::user_id::UserId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Outcome, UsersError, audit, find, list::Row};
use crate::{
    Identity,
    domain::lockout::{Bucket, Guessed},
    me,
    operator::table::{json, moment, table, when},
    store::{accounts, lockouts, overviews, second_factors, security_events, sessions},
};

/// Events that are shown at most.
const EVENTS: u32 = 20;

/// The answer as JSON. Personal data: no `Debug`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    account: Row,
    /// `None` when it does not open: once the vault was asked to shred the key, or when it was tampered with.
    email: Option<String>,
    /// The one last used first; 200 at most.
    sessions: Vec<Session>,
    failed_attempts: Vec<Failed>,
    /// The newest first.
    events: Vec<Happened>,
}

#[derive(Serialize)]
struct Session {
    id: Uuid,
    created_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct Failed {
    /// `address`, `device` or `second_factor`.
    at: &'static str,
    attempts: u64,
    locked_until: Option<String>,
}

#[derive(Serialize)]
struct Happened {
    kind: &'static str,
    at: Option<String>,
}

/// Everything that an operator needs to help somebody, and no device of theirs: that is for their own eyes.
pub(super) async fn show(
    identity: &Identity,
    who: &str,
    as_json: bool,
    now: OffsetDateTime,
) -> Result<Outcome, UsersError> {
    let user = find(identity, who).await?;
    let (overview, profile) = {
        let db = identity.pool.get().await?;
        let overview = overviews::find(&*db, user).await?;
        let profile = accounts::profile_of_any(&*db, user).await?;
        overview.zip(profile).ok_or(UsersError::UnknownUser)?
    };
    let email = me::address_if_readable(identity, &profile, now).await?;
    // An address was read, whatever becomes of the answer.
    audit("show", Some(user));
    let shown = Shown {
        account: overview.into(),
        failed_attempts: failed_attempts(identity, user, email.as_deref(), now).await?,
        sessions: open_sessions(identity, user, now).await?,
        events: events(identity, user).await?,
        email,
    };
    Ok(Outcome {
        answer: if as_json {
            json(&shown)
        } else {
            readable(&shown)
        },
        note: None,
    })
}

async fn failed_attempts(
    identity: &Identity,
    user: UserId,
    email: Option<&str>,
    now: OffsetDateTime,
) -> Result<Vec<Failed>, UsersError> {
    let identifier = email.map(|email| Bucket::identifier(&identity.secrets, email));
    let (counted, factor) = {
        let db = identity.pool.get().await?;
        let counted = lockouts::counted(&*db, identifier.as_ref(), user, now).await?;
        (counted, second_factors::find(&*db, user).await?)
    };
    let logins = counted.into_iter().map(|(guessed, counted)| Failed {
        at: match guessed {
            Guessed::Address => "address",
            Guessed::Device => "device",
        },
        attempts: counted.attempts,
        locked_until: moment(identity.lockout.locked_until(&counted, now)),
    });
    let factor = factor.filter(|factor| factor.failures > 0);
    let codes = factor.map(|factor| Failed {
        at: "second_factor",
        attempts: factor.failures.into(),
        locked_until: moment(factor.locked_until.filter(|until| *until > now)),
    });
    Ok(logins.chain(codes).collect())
}

async fn open_sessions(
    identity: &Identity,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Vec<Session>, UsersError> {
    let db = identity.pool.get().await?;
    let open = sessions::list(&*db, user, now - identity.sessions.idle, now).await?;
    let sessions = open.into_iter().map(|session| Session {
        id: session.id,
        created_at: moment(Some(session.created_at)),
        last_used_at: moment(Some(session.last_used_at)),
    });
    Ok(sessions.collect())
}

async fn events(identity: &Identity, user: UserId) -> Result<Vec<Happened>, UsersError> {
    let db = identity.pool.get().await?;
    let noted = security_events::page(&*db, user, Uuid::max(), EVENTS).await?;
    let events = noted.into_iter().map(|noted| Happened {
        kind: noted.event.name(),
        at: moment(Some(noted.created_at)),
    });
    Ok(events.collect())
}

fn readable(shown: &Shown) -> String {
    let account = &shown.account;
    let facts = [
        ("id", account.id.to_string()),
        ("address", when(shown.email.as_deref())),
        ("state", account.state.to_owned()),
        ("disabled", when(account.disabled_at.as_deref())),
        (
            "second factor",
            if account.second_factor { "yes" } else { "no" }.to_owned(),
        ),
        ("created", when(account.created_at.as_deref())),
        ("last login", when(account.last_login_at.as_deref())),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        writeln!(text, "{name:<13}  {value}").expect("a string takes everything");
    }
    let sessions = shown.sessions.iter().map(|session| {
        [
            session.id.to_string(),
            when(session.created_at.as_deref()),
            when(session.last_used_at.as_deref()),
        ]
    });
    let failed = shown.failed_attempts.iter().map(|failed| {
        [
            failed.at.to_owned(),
            failed.attempts.to_string(),
            when(failed.locked_until.as_deref()),
        ]
    });
    let events = shown
        .events
        .iter()
        .map(|event| [when(event.at.as_deref()), event.kind.to_owned()]);
    for part in [
        table(["OPEN SESSION", "CREATED", "LAST USED"], sessions),
        table(["FAILED AT", "ATTEMPTS", "LOCKED UNTIL"], failed),
        table(["WHEN", "WHAT HAPPENED"], events),
    ] {
        text.push('\n');
        text.push_str(&part);
    }
    text
}
