//! What a deletion asks of the journal and of the vault, and what they may answer.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use poem::{
    IntoResponse as _, Request, Server, endpoint::make, http::StatusCode, listener::TcpAcceptor,
};
use reqwest::Method;
use serde_json::json;
use stack::until;
use time::Duration;
use tokio::net::TcpListener;

use crate::{
    accounts::PASSWORD,
    device::{Person, Tokens},
    replica::Region,
    service::{PATIENCE, Service},
};

/// A journal that does as it is told, and remembers what it was told.
#[derive(Clone)]
struct Journal {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    /// It has erased everything already, and opens nothing again.
    gone: Arc<AtomicBool>,
}

impl Journal {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let journal = Self {
            url: format!("http://127.0.0.1:{port}"),
            asked: Arc::default(),
            gone: Arc::default(),
        };
        let told = journal.clone();
        let answer = move |request: Request| {
            let status = told.told(&request);
            async move { status.into_response() }
        };
        let acceptor = TcpAcceptor::from_tokio(listener).expect("a listener");
        tokio::spawn(Server::new_with_acceptor(acceptor).run(make(answer)));
        journal
    }

    fn told(&self, request: &Request) -> StatusCode {
        let asked = format!("{} {}", request.method(), request.uri().path());
        let reopening = asked.starts_with("DELETE") && asked.ends_with("/closure");
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked);
        if reopening && self.gone.load(Ordering::SeqCst) {
            StatusCode::GONE
        } else {
            StatusCode::NO_CONTENT
        }
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }

    /// Waits until it has been asked for all of this and nothing else.
    async fn asked_for(&self, all: &[String]) {
        let asked = async || {
            let asked = self.asked();
            (asked == all).then_some(()).ok_or_else(|| asked.join(", "))
        };
        let asked = until("questions to the journal", PATIENCE, asked).await;
        asked.expect("the worker goes on");
    }
}

impl Service {
    /// Somebody whose deletion has begun everywhere.
    async fn leaver(&self) -> (Person, Tokens) {
        let (person, tokens) = self.newcomer().await;
        let body = json!({ "password": PASSWORD });
        let left = self.delete_account(&tokens.access, &body).await;
        assert_eq!(left.status, 202, "{}", left.text);
        self.erasure_until(&tokens.user_id(), "others_closed_at IS NOT NULL")
            .await;
        (person, tokens)
    }
}

/// Tries to undo a deletion whose time is over elsewhere.
async fn too_late(region: &Region, user: &str) {
    let undone = region.run(&["users", "restore", user]).await;
    assert_eq!(undone.status.code(), Some(1), "{undone:?}");
    let told = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(
        told.contains("the time in which it could be undone is over"),
        "{told}"
    );
}

#[tokio::test]
async fn a_journal_that_was_restored_is_told_to_erase_again_an_hour_later() {
    let journal = Journal::start().await;
    let region = Region::with(&[("ERASURE_WAIT", "3s"), ("JOURNAL_URL", &journal.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (_, tokens) = identity.leaver().await;
    let user = tokens.user_id();
    let close = format!("PUT /internal/people/{user}/closure");
    let erase = format!("DELETE /internal/people/{user}");
    journal.asked_for(std::slice::from_ref(&close)).await;
    region.clock.advance(Duration::seconds(4));
    identity.erasure_until(&user, "done_at IS NOT NULL").await;
    let mut all = vec![close, erase.clone()];
    assert_eq!(journal.asked(), all);
    // As if the hour were over: the vault of the test run takes no token of a later time.
    let sql = "UPDATE erasures SET due_at = due_at - interval '1 hour'";
    let moved = identity.database().await.execute(sql, &[]).await;
    assert_eq!(moved.ok(), Some(1));
    all.push(erase);
    journal.asked_for(&all).await;
    identity.erasure_until(&user, "due_at > done_at").await;
}

#[tokio::test]
async fn a_deletion_is_not_undone_when_the_journal_has_erased_already() {
    let journal = Journal::start().await;
    let region = Region::with(&[("JOURNAL_URL", &journal.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.leaver().await;
    let user = tokens.user_id();
    journal.gone.store(true, Ordering::SeqCst);
    too_late(&region, &user).await;
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);

    // And one that has not is asked to open again before anybody is let in.
    journal.gone.store(false, Ordering::SeqCst);
    let undone = region.run(&["users", "restore", &user]).await;
    assert!(undone.status.success(), "{undone:?}");
    let reopen = format!("DELETE /internal/people/{user}/closure");
    assert_eq!(journal.asked().last(), Some(&reopen));
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_deletion_is_not_undone_when_the_vault_has_destroyed_the_key() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.leaver().await;
    let user = tokens.user_id();
    let path = format!("v1/subjects/{user}");
    let at_once = json!({ "wait_seconds": 0 });
    let vault = region.vault_client();
    let destroyed = vault.command(Method::DELETE, &path, &at_once, region.clock.now());
    assert!(destroyed.await.is_ok());
    too_late(&region, &user).await;
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_deletion_is_not_undone_after_its_time_although_the_vault_would() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.leaver().await;
    let db = identity.database().await;
    let over = "UPDATE erasures SET purge_at = requested_at";
    assert_eq!(db.execute(over, &[]).await.ok(), Some(1));
    too_late(&region, &tokens.user_id()).await;
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    // And no step was taken back that nobody would take again.
    let steps =
        "SELECT 1 FROM erasures WHERE shred_id IS NOT NULL AND others_closed_at IS NOT NULL";
    assert!(db.query_opt(steps, &[]).await.is_ok_and(|it| it.is_some()));
}

#[tokio::test]
async fn a_deletion_that_another_replica_is_at_is_left_to_it_and_holds_up_no_other() {
    let journal = Journal::start().await;
    let region = Region::with(&[("JOURNAL_URL", &journal.url)]).await;
    let first = region.start().await;
    let (_, ada) = first.service.leaver().await;
    first
        .service
        .erasure_until(&ada.user_id(), "due_at = purge_at")
        .await;
    region.stopped(first).await;
    // A step is due, and somebody is at it.
    let mut db = region.database().await;
    let due = "UPDATE erasures SET others_closed_at = NULL, due_at = requested_at";
    assert_eq!(db.execute(due, &[]).await.ok(), Some(1));
    let acting = db.transaction().await.expect("a transaction");
    let locked = acting.execute("SELECT FROM erasures FOR UPDATE", &[]).await;
    assert_eq!(locked.ok(), Some(1));
    let second = region.start().await;
    let (_, bob) = second.service.leaver().await;
    let close = |user: String| format!("PUT /internal/people/{user}/closure");
    let (hers, his) = (close(ada.user_id()), close(bob.user_id()));
    assert_eq!(journal.asked(), [hers.clone(), his.clone()]);
    acting.rollback().await.expect("rolled back");
    journal.asked_for(&[hers.clone(), his, hers]).await;
}

#[tokio::test]
async fn a_deletion_that_has_begun_goes_before_another_look_at_one_that_is_done() {
    let journal = Journal::start().await;
    let region = Region::with(&[("ERASURE_WAIT", "3s"), ("JOURNAL_URL", &journal.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (_, ada) = identity.leaver().await;
    let (ada, done) = (ada.user_id(), "done_at IS NOT NULL");
    region.clock.advance(Duration::seconds(4));
    identity.erasure_until(&ada, done).await;
    let (_, bob) = identity.leaver().await;
    let bob = bob.user_id();
    identity.erasure_until(&bob, "due_at = purge_at").await;
    let before = journal.asked().len();
    let both = "UPDATE erasures SET others_closed_at = NULL,
                       due_at = requested_at - CASE WHEN done_at IS NULL THEN 1 ELSE 2 END * interval '1 minute'";
    let due = identity.database().await.execute(both, &[]).await;
    assert_eq!(due.ok(), Some(2));
    identity.erasure_until(&ada, "due_at > done_at").await;
    let asked = journal.asked().split_off(before);
    let expected = [
        format!("PUT /internal/people/{bob}/closure"),
        format!("DELETE /internal/people/{ada}"),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_the_journal_may_have_opened_for_an_undoing_that_failed_is_closed_again() {
    let journal = Journal::start().await;
    let region = Region::with(&[("JOURNAL_URL", &journal.url)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ((_, ada), (_, bob)) = (identity.leaver().await, identity.leaver().await);
    let (ada, bob) = (ada.user_id(), bob.user_id());
    journal.gone.store(true, Ordering::SeqCst);
    too_late(&region, &ada).await;
    // Nothing is done about the deletion of somebody else.
    identity
        .erasure_until(
            &bob,
            "shred_id IS NOT NULL AND others_closed_at IS NOT NULL",
        )
        .await;
    // As if the minute were over: the vault of the test run takes no token of a later time.
    let sql =
        "UPDATE erasures SET due_at = due_at - interval '62 s' WHERE user_id = $1::text::uuid";
    let moved = identity.database().await.execute(sql, &[&ada]).await;
    assert_eq!(moved.ok(), Some(1));
    region.catch_up();
    let close = |user: &str| format!("PUT /internal/people/{user}/closure");
    let reopen = format!("DELETE /internal/people/{ada}/closure");
    journal
        .asked_for(&[close(&ada), close(&bob), reopen, close(&ada)])
        .await;
}
