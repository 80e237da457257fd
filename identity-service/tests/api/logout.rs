//! Leaving on one device.

use tokio::task::JoinSet;

use crate::{device::unauthorized, replica::Region, service::Service};

#[tokio::test]
async fn a_logout_ends_this_session_at_once_and_no_other() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (phone, laptop) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let answer = identity.logout(&phone.access).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    for answer in [
        identity.refresh(&phone.refresh).await,
        identity.me(&phone.access).await,
        identity.logout(&phone.access).await,
    ] {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
    assert_eq!(identity.me(&laptop.access).await.status, 200);
    assert_eq!(identity.refresh(&laptop.refresh).await.status, 200);
}

#[tokio::test]
async fn a_logout_also_voids_the_token_that_a_refresh_gave_a_moment_ago() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    assert_eq!(identity.logout(&first.access).await.status, 204);
    for token in [&first.refresh, &second.refresh] {
        let answer = identity.refresh(token).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
}

#[tokio::test]
async fn of_many_logouts_at_once_one_ends_the_session() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let tokens = identity.logged_in(&identity.person().await).await;
    // All of them look at the session before the first may end it.
    let mut db = region.database().await;
    let holding = db.transaction().await.expect("a transaction");
    let held = holding
        .execute("SELECT FROM sessions FOR UPDATE", &[])
        .await;
    assert_eq!(held.expect("the session"), 1);
    let mut leaving = JoinSet::new();
    for _ in 0..5 {
        let (identity, token) = (identity.clone(), tokens.access.clone());
        leaving.spawn(async move { identity.logout(&token).await });
    }
    region.waiting(5).await;
    drop(holding);
    let (ended, late): (Vec<_>, Vec<_>) = leaving
        .join_all()
        .await
        .into_iter()
        .partition(|answer| answer.status == 204);
    assert_eq!(ended.len(), 1);
    for answer in late {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
}
