//! Unwraps that ask the database together: each gets its own answer, and none waits without end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::{Client, item},
    world::{somebody, vault},
};

/// Requests at once.
const CROWD: usize = 24;

#[tokio::test]
async fn each_of_a_crowd_gets_its_own_key() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let identity = identity.clone();
        crowd.spawn(async move {
            let subject = somebody();
            let (wrapped, key) = identity.created(subject, "account").await;
            for _ in 0..5 {
                let (status, opened) = identity.unwrap_one(subject, "account", &wrapped).await;
                assert_eq!(
                    (status.as_str(), opened),
                    ("ok", Some(key.clone())),
                    "{number}"
                );
                let (status, opened) = identity.unwrap_one(somebody(), "account", &wrapped).await;
                assert_eq!(
                    (status.as_str(), opened),
                    ("unknown_subject", None),
                    "{number}"
                );
            }
        });
    }
    crowd.join_all().await;
}

#[tokio::test]
async fn a_shred_counts_for_everybody_who_asks_after_it() {
    let (world, vault) = vault().await;
    let identity = world.shredder(&vault, "identity");
    for _ in 0..5 {
        let ada = somebody();
        let (wrapped, _) = identity.client.created(ada, "account").await;
        // Others ask all the time, for somebody else too.
        let asking = Arc::new(());
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let (client, wrapped) = (identity.client.clone(), wrapped.clone());
            let asking = Arc::downgrade(&asking);
            crowd.spawn(async move {
                while asking.upgrade().is_some() {
                    ask(&client, ada, &wrapped).await;
                }
            });
        }
        assert_eq!(ask(&identity.client, ada, &wrapped).await, "ok");
        identity.shredded(ada, 600).await;
        for _ in 0..10 {
            assert_eq!(ask(&identity.client, ada, &wrapped).await, "shred_pending");
        }
        drop(asking);
        crowd.join_all().await;
    }
}

async fn ask(client: &Client, subject: uuid::Uuid, wrapped: &[u8]) -> String {
    client.unwrap_one(subject, "account", wrapped).await.0
}

#[tokio::test]
async fn nobody_waits_for_a_database_that_does_not_answer() {
    let (world, vault) = vault().await;
    let identity = world.caller(&vault, "identity");
    let ada = somebody();
    let (wrapped, _) = identity.created(ada, "account").await;
    // For longer than an ordinary connection is lent.
    let mut db = world.pool.get_for_long().await.expect("a connection");
    let lock = db.transaction().await.expect("a transaction");
    let sql = "LOCK TABLE subjects IN ACCESS EXCLUSIVE MODE";
    lock.batch_execute(sql).await.expect("the lock");
    // Who leaves takes nobody along.
    let items = [item(ada, "account", &wrapped)];
    let left = timeout(Duration::from_millis(300), identity.unwrap(&items)).await;
    assert!(left.is_err(), "it was answered: {left:?}");
    let began = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (identity, items) = (identity.clone(), items.clone());
        crowd.spawn(async move { identity.unwrap(&items).await });
    }
    for answer in crowd.join_all().await {
        assert_eq!(answer.problem(), (503, "unavailable"));
        assert!(answer.retry_after > 0, "{answer:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    drop(lock);
    drop(db);
    let opened = async { while identity.unwrap(&items).await.status != 200 {} };
    timeout(Duration::from_secs(10), opened)
        .await
        .expect("it answers again");
}
