//! `GET /api/changes`: a client that follows has what the server has.

use std::collections::{BTreeMap, HashSet};

use reqwest::Method;
use serde_json::Value;
use stack::until;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::journal::{Answer, Journal, PATIENCE, connected, database, draft, sent};

async fn changes(journal: &Journal, query: &str) -> Answer {
    sent(journal.elsewhere(Method::GET, &format!("/changes{query}"))).await
}

fn items(page: &Value) -> Vec<Value> {
    page["changes"].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What a client without a connection keeps.
struct Follower {
    journal: Journal,
    cursor: Option<String>,
    entries: BTreeMap<String, Value>,
    /// What it was told, by id and revision.
    told: HashSet<(String, String)>,
}

impl Follower {
    fn of(journal: &Journal) -> Self {
        Self {
            journal: journal.clone(),
            cursor: None,
            entries: BTreeMap::new(),
            told: HashSet::new(),
        }
    }

    /// Takes the next page; whether there is more.
    async fn step(&mut self, limit: u32) -> bool {
        let since = self.cursor.as_ref();
        let since = since.map_or_else(String::new, |cursor| format!("&since={cursor}"));
        let page = changes(&self.journal, &format!("?limit={limit}{since}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let page = page.json();
        for change in items(&page) {
            let id = text(&change["id"]);
            let revision = change["entry"]["revision"].to_string();
            assert!(
                self.told.insert((id.clone(), revision)),
                "twice the same: {change}"
            );
            match change["state"].as_str() {
                Some("written") => self.entries.insert(id, change["entry"].clone()),
                Some("deleted") => self.entries.remove(&id),
                other => panic!("{other:?}"),
            };
        }
        self.cursor = page["next"].as_str().map(str::to_owned);
        page["more"] == true
    }

    async fn catch_up(&mut self) {
        while self.step(7).await {}
    }

    async fn assert_has_everything(&self) {
        let listed = self.journal.entries().await;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|it| (text(&it["id"]), it)).collect();
        assert_eq!(self.entries, listed);
    }
}

#[tokio::test]
async fn each_record_comes_once_at_its_latest_place() {
    let ada = Journal::of_a_new_person().await;
    let nothing = changes(&ada, "").await.json();
    assert_eq!((items(&nothing).len(), nothing.get("next")), (0, None));
    let first = ada.write(&draft("2026-11-24", "first")).await;
    let second = ada.write(&draft("2026-11-24", "second")).await;
    let gone = ada.write(&draft("2026-11-24", "gone")).await;
    for edit in 0..10 {
        let title = format!("edit {edit}");
        assert_eq!(
            ada.replace(&first, &draft("2026-11-24", &title), None)
                .await
                .status,
            200
        );
    }
    assert_eq!(ada.delete(&gone, None).await.status, 204);

    let page = changes(&ada, "").await.json();
    let told: Vec<_> = items(&page)
        .iter()
        .map(|it| (text(&it["id"]), text(&it["state"])))
        .collect();
    let expected = [
        (&second, "written"),
        (&first, "written"),
        (&gone, "deleted"),
    ];
    assert_eq!(
        told,
        expected.map(|(id, state)| (id.clone(), state.to_owned()))
    );
    assert_eq!(page["changes"][1]["entry"], ada.read(&first).await.json());
    assert!(page["changes"][2]["deleted_at"].is_string());
    assert_eq!(page["changes"][2].get("entry"), None);
    assert_eq!(page["more"], false);

    // Nothing more, as often as one asks; the same content again is no change.
    let title = draft("2026-11-24", "edit 9");
    assert_eq!(ada.replace(&first, &title, None).await.status, 200);
    let since = format!("?since={}", text(&page["next"]));
    let later = changes(&ada, &since).await.json();
    assert_eq!((items(&later).len(), &later["more"]), (0, &false.into()));
    let again = changes(&ada, &format!("?since={}", text(&later["next"]))).await;
    assert_eq!(items(&again.json()).len(), 0);

    let mut follower = Follower::of(&ada);
    assert!(follower.step(1).await, "there is more");
    follower.catch_up().await;
    follower.assert_has_everything().await;
}

#[tokio::test]
async fn what_does_not_open_is_named_and_hides_nothing() {
    let ada = Journal::of_a_new_person().await;
    let broken = ada.write(&draft("2026-11-24", "broken")).await;
    let whole = ada.write(&draft("2026-11-24", "whole")).await;
    let broke = database()
        .await
        .execute(
            "UPDATE entries SET body_sealed = title_sealed WHERE entry_id = $1",
            &[&broken.parse::<Uuid>().expect("an id is a UUID")],
        )
        .await;
    assert_eq!(broke.expect("the attack is valid SQL"), 1);
    let page = changes(&ada, "").await.json();
    let told = |id: &str| items(&page).into_iter().find(|it| it["id"] == id);
    let unreadable = told(&broken).expect("it is named");
    assert_eq!(
        (&unreadable["state"], unreadable.get("entry")),
        (&"unreadable".into(), None)
    );
    assert_eq!(
        told(&whole).expect("it is there")["entry"]["title"],
        "whole"
    );
}

#[tokio::test]
async fn long_entries_come_on_several_pages() {
    let ada = Journal::of_a_new_person().await;
    for number in 0..6 {
        let mut long = draft("2026-11-24", &format!("long {number}"));
        long["body"] = "x".repeat(1 << 20).into();
        ada.write(&long).await;
    }
    let page = changes(&ada, "").await.json();
    let first = items(&page).len();
    assert!((1..6).contains(&first), "{first}");
    assert_eq!(page["more"], true);
    let mut follower = Follower::of(&ada);
    while follower.step(100).await {}
    follower.assert_has_everything().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_person_and_its_operation_alone() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    for journal in [&ada, &bob] {
        for title in ["first", "second"] {
            journal.write(&draft("2026-11-24", title)).await;
        }
    }
    let cursor = text(&changes(&ada, "").await.json()["next"]);
    let listed = text(&ada.list("?limit=1").await.json()["next"]);
    let mut tampered = cursor.clone().into_bytes();
    tampered[20] = if tampered[20] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).expect("it is ASCII");
    let refused = (400, "invalid_request".to_owned());
    for wrong in [
        tampered.as_str(),
        &listed,
        "",
        "0",
        "%00",
        "%ff",
        &"A".repeat(513),
    ] {
        let answer = changes(&ada, &format!("?since={wrong}")).await;
        assert_eq!(answer.problem(), refused, "{wrong}");
        assert_eq!(answer.pointers(), ["query:since"]);
    }
    let stranger = Journal::of_a_new_person().await;
    for other in [&bob, &stranger] {
        let answer = changes(other, &format!("?since={cursor}")).await;
        assert_eq!(answer.problem(), refused);
    }
    assert_eq!(
        ada.list(&format!("?after={cursor}")).await.problem(),
        refused
    );
    for limit in ["0", "101", "-1", "x"] {
        let answer = changes(&ada, &format!("?limit={limit}")).await;
        assert_eq!(answer.pointers(), ["query:limit"]);
    }
}

#[tokio::test]
async fn a_cursor_of_a_journal_that_was_restored_since_is_gone() {
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "first")).await;
    ada.write(&draft("2026-11-24", "after the backup")).await;
    let cursor = text(&changes(&ada, "").await.json()["next"]);
    let expired = (410, "cursor_expired".to_owned());
    let db = database().await;
    for restored in [
        "UPDATE change_counters SET last = last - 1 WHERE user_id = $1",
        "UPDATE change_counters SET last = last + 5, epoch = gen_random_uuid() WHERE user_id = $1",
        "DELETE FROM change_counters WHERE user_id = $1",
    ] {
        db.execute(restored, &[&ada.user_id])
            .await
            .expect("valid SQL");
        let answer = changes(&ada, &format!("?since={cursor}")).await;
        assert_eq!(answer.problem(), expired, "{restored}");
        assert_eq!(changes(&ada, "").await.status, 200, "{restored}");
    }
}

/// A number that was taken earlier may become visible later than one that was taken after it. A client that has read the
/// later one would never see the earlier.
#[tokio::test]
async fn no_change_is_seen_before_one_that_comes_before_it() {
    let ada = Journal::of_a_new_person().await;
    let slow = ada.write(&draft("2026-11-24", "slow")).await;
    let quick = ada.write(&draft("2026-11-24", "quick")).await;
    let mut follower = Follower::of(&ada);
    follower.catch_up().await;
    let told = follower.told.len();

    let mut db = database().await;
    let pid: i32 = db
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .expect("a number")
        .get(0);
    let transaction = db.transaction().await.expect("a transaction");
    let deleted = transaction
        .execute(
            "DELETE FROM entries WHERE entry_id = $1",
            &[&slow.parse::<Uuid>().expect("an id is a UUID")],
        )
        .await;
    assert_eq!(deleted.expect("it is there"), 1);
    let (writer, id) = (ada.clone(), quick.clone());
    let writing = tokio::spawn(async move {
        writer
            .replace(&id, &draft("2026-11-24", "quicker"), None)
            .await
    });
    until("the other writer waits", PATIENCE, async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
        let blocked = database().await.query_one(sql, &[&pid]).await;
        let blocked: i64 = blocked.expect("a number").get(0);
        (blocked == 1).then_some(()).ok_or(blocked)
    })
    .await
    .expect("writers of one person wait for each other");
    follower.catch_up().await;
    assert_eq!(follower.told.len(), told, "nothing is visible yet");
    transaction.commit().await.expect("it commits");
    assert_eq!(writing.await.expect("it wrote").status, 200);
    follower.catch_up().await;
    assert_eq!(follower.told.len(), told + 2, "both are visible now");
    follower.assert_has_everything().await;
}

#[tokio::test]
async fn who_follows_while_many_write_has_everything_in_the_end() {
    const WRITERS: usize = 12;
    let ada = Journal::of_a_new_person().await;
    let shared = ada.write(&draft("2026-11-24", "shared")).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (ada, shared) = (ada.clone(), shared.clone());
        writers.spawn(async move {
            for round in 0..12 {
                let title = format!("{writer} in round {round}");
                let id = ada.write(&draft("2026-11-24", &title)).await;
                let edit = draft("2026-11-25", &format!("{title}, edited"));
                assert_eq!(ada.replace(&id, &edit, None).await.status, 200);
                assert_eq!(ada.replace(&shared, &edit, None).await.status, 200);
                if round % 3 == 0 {
                    assert_eq!(ada.delete(&id, None).await.status, 204);
                }
            }
        });
    }
    let mut follower = Follower::of(&ada);
    while !writers.is_empty() {
        follower.step(5).await;
        while let Some(ended) = writers.try_join_next() {
            ended.expect("a writer wrote");
        }
    }
    follower.catch_up().await;
    follower.assert_has_everything().await;
    assert_eq!(follower.entries.len(), 1 + WRITERS * 8);

    // And from the beginning, each once.
    let mut late = Follower::of(&ada);
    late.catch_up().await;
    assert_eq!(late.entries, follower.entries);
    assert_eq!(late.told.len(), 1 + WRITERS * 12);
}

#[tokio::test]
async fn numbers_of_one_person_make_nobody_else_wait() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let id = ada.write(&draft("2026-11-24", "ada's")).await;
    let mut db = connected(&stack::Addresses::of_the_test_run().database.journal).await;
    let transaction = db.transaction().await.expect("a transaction");
    let deleted = transaction
        .execute(
            "DELETE FROM entries WHERE entry_id = $1",
            &[&id.parse::<Uuid>().expect("an id is a UUID")],
        )
        .await;
    assert_eq!(deleted.expect("it is there"), 1);
    bob.write(&draft("2026-11-24", "bob's")).await;
    transaction.rollback().await.expect("it ends");
    assert_eq!(ada.read(&id).await.status, 200);
}
