//! Somebody who writes to the database puts an address back that an account had before: it is shown to nobody, nothing is
//! mailed to it, and the operator is told.

use serde_json::json;
use stack::{Addresses, until};

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::Tokens,
    replica::Region,
    service::{PATIENCE, Service},
};

const RESET: &str = "Choose a new password";
const DELETED: &str = "Your account is being deleted";

/// Whether the service has told the operator about that account, beside its line for each request.
pub(crate) fn operator_is_told(user: &str) -> bool {
    let told = |line: &serde_json::Value| {
        line["level"] == "ERROR" && line["user.id"] == user && line["message"] != "request"
    };
    // One process has one log, which is named after whichever of its tests came first.
    let ours = format!(".{}.identity.log", std::process::id());
    let logs = std::fs::read_dir(Addresses::of_the_test_run().log_dir).expect("the logs");
    let logs = logs.map(|log| log.expect("a log").path());
    let log = logs
        .filter(|path| path.to_string_lossy().ends_with(&ours))
        .map(|path| std::fs::read_to_string(path).expect("identity logs"))
        .collect::<String>();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .any(|line| told(&line))
}

impl Service {
    async fn sealed_address(&self, tokens: &Tokens) -> Vec<u8> {
        let sql = "SELECT email_sealed FROM accounts WHERE user_id = $1::text::uuid";
        let row = self
            .database()
            .await
            .query_one(sql, &[&tokens.user_id()])
            .await;
        row.expect("the account").get(0)
    }

    async fn put_address(&self, tokens: &Tokens, sealed: &[u8]) {
        let sql = "UPDATE accounts SET email_sealed = $2 WHERE user_id = $1::text::uuid";
        let put = self.database().await;
        let put = put.execute(sql, &[&tokens.user_id(), &sealed]).await;
        assert_eq!(put.expect("the account"), 1);
    }

    async fn tried(&self, errand: &str) {
        let tried = async || {
            let waiting = self.count("outbox WHERE attempts > 0").await;
            (waiting == 1).then_some(()).ok_or(waiting)
        };
        until(errand, PATIENCE, tried)
            .await
            .expect("the worker tries");
    }
}

#[tokio::test]
async fn an_address_from_before_is_no_conflict_that_is_overlooked_and_is_never_mailed_at() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    let old = identity.sealed_address(&tokens).await;
    let new = somebody();
    let token = identity.mailed_address(&tokens, &new).await;
    assert_eq!(identity.confirm_address(&token).await.status, 200);
    identity.outbox_empties().await;
    let current = identity.sealed_address(&tokens).await;
    assert!(!operator_is_told(&tokens.user_id()));

    identity.put_address(&tokens, &old).await;
    let unreadable = (409, "record_unreadable".to_owned());
    assert_eq!(identity.me(&tokens.access).await.problem(), unreadable);
    assert!(operator_is_told(&tokens.user_id()));
    // It would become the one to log in with.
    let changed = identity.change_password(&tokens, PASSWORD, OTHER_PASSWORD);
    assert_eq!(changed.await.problem(), unreadable);
    assert_eq!(identity.forgot(&new).await.status, 202);
    identity.tried("the reset").await;
    for email in [&ada.email, &new] {
        assert!(identity.mails_about(email, RESET).is_empty());
    }

    // What the account has is what is mailed at, whatever was tried meanwhile.
    identity.put_address(&tokens, &current).await;
    let due = "UPDATE outbox SET due_at = created_at";
    let done = identity.database().await.execute(due, &[]).await;
    assert_eq!(done.expect("the reset waits"), 1);
    identity.mail_about(&new, RESET).await;
    assert!(identity.mails_about(&ada.email, RESET).is_empty());
    assert_eq!(identity.me(&tokens.access).await.json()["email"], new);
}

#[tokio::test]
async fn a_deletion_is_told_to_the_address_of_the_account_and_to_none_from_before() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for tampered in [false, true] {
        let (ada, tokens) = identity.newcomer().await;
        let old = identity.sealed_address(&tokens).await;
        let new = somebody();
        let token = identity.mailed_address(&tokens, &new).await;
        assert_eq!(identity.confirm_address(&token).await.status, 200);
        if tampered {
            identity.put_address(&tokens, &old).await;
        }
        let body = json!({ "password": PASSWORD });
        let left = identity.delete_account(&tokens.access, &body).await;
        assert_eq!(left.status, 202, "{}", left.text);
        let told = "owner_told_at IS NOT NULL";
        identity.erasure_until(&tokens.user_id(), told).await;
        identity.outbox_empties().await;
        let about = |email: &str| {
            let mut mails = identity.mails(email);
            mails.retain(|mail| mail.subject == DELETED);
            mails.len()
        };
        assert_eq!(about(&new), usize::from(!tampered));
        assert_eq!(about(&ada.email), 0);
        assert_eq!(operator_is_told(&tokens.user_id()), tampered);
    }
}
