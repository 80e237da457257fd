//! `users list`: accounts by id, which no address is needed for.

use serde::Serialize;
use shared::user_id::UserId;
use uuid::Uuid;

use super::{Outcome, UsersError, audit};
use crate::{
    Identity,
    operator::table::{json, moment, table, when},
    store::overviews::{self, Overview},
};

/// The answer as JSON.
#[derive(Serialize)]
struct Page {
    users: Vec<Row>,
    /// For `--after`, when there are more.
    next: Option<UserId>,
}

/// What is told of an account in a list, and of one that is shown.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) id: UserId,
    pub(super) state: &'static str,
    pub(super) second_factor: bool,
    pub(super) created_at: Option<String>,
    pub(super) disabled_at: Option<String>,
    pub(super) last_login_at: Option<String>,
}

impl From<Overview> for Row {
    fn from(account: Overview) -> Self {
        Self {
            id: account.user_id,
            state: match account.disabled_at {
                _ if account.deleting => "deleting",
                Some(_) => "disabled",
                None => "active",
            },
            second_factor: account.second_factor,
            created_at: moment(Some(account.created_at)),
            disabled_at: moment(account.disabled_at),
            last_login_at: moment(account.last_login_at),
        }
    }
}

/// One page of the list.
pub(super) async fn list(
    identity: &Identity,
    limit: u32,
    after: Option<UserId>,
    as_json: bool,
) -> Result<Outcome, UsersError> {
    let before = after.map_or(Uuid::max(), UserId::uuid);
    let mut users: Vec<Row> = {
        let db = identity.pool.get().await?;
        // One more, which tells whether there are more.
        let found = overviews::page(&*db, before, limit + 1).await?;
        found.into_iter().map(Row::from).collect()
    };
    audit("list", None);
    let more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| more).map(|last| last.id);
    if as_json {
        return Ok(Outcome {
            answer: json(&Page { users, next }),
            note: None,
        });
    }
    Ok(Outcome {
        answer: readable(&users),
        note: next.map(|id| format!("There are more: --after {id}")),
    })
}

fn readable(users: &[Row]) -> String {
    let rows = users.iter().map(|user| {
        [
            user.id.to_string(),
            user.state.to_owned(),
            if user.second_factor { "yes" } else { "no" }.to_owned(),
            when(user.created_at.as_deref()),
            when(user.last_login_at.as_deref()),
        ]
    });
    table(
        ["ID", "STATE", "SECOND FACTOR", "CREATED", "LAST LOGIN"],
        rows,
    )
}
