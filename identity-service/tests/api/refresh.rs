//! Staying logged in, and what becomes of stolen tokens.

use std::collections::HashSet;

use time::Duration;
use tokio::task::JoinSet;

use crate::{
    device::{claims, unauthorized},
    replica::Region,
    service::{Answer, Service},
};

#[tokio::test]
async fn no_access_token_outlives_its_session() {
    let region = Region::with(&[("SESSION_IDLE", "20m"), ("SESSION_MAX", "20m")]).await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let login = identity.login(&ada.email, &ada.password).await;
    assert_eq!(login.json()["expires_in"], 900);
    region.clock.advance(Duration::minutes(14));
    let refreshed = identity.refresh(&login.tokens().refresh).await;
    assert_eq!(refreshed.json()["expires_in"], 360);
    let ends = |answer: &Answer| {
        claims(&answer.tokens().access)["exp"]
            .as_i64()
            .expect("a time")
    };
    assert_eq!(ends(&refreshed) - ends(&login), 300);
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_for_the_same_session() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    assert_ne!(first.refresh, second.refresh);
    let (before, after) = (claims(&first.access), claims(&second.access));
    for same in ["iss", "aud", "sub", "sid", "auth_time", "amr"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_ne!(before["jti"], after["jti"]);
    assert_eq!(identity.me(&second.access).await.status, 200);
}

#[tokio::test]
async fn a_hundred_refreshes_at_once_give_one_and_the_same_new_token() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let (identity, token) = (identity.clone(), first.refresh.clone());
        requests.spawn(async move { identity.refresh(&token).await.tokens().refresh });
    }
    let given: HashSet<_> = requests.join_all().await.into_iter().collect();
    assert_eq!(given.len(), 1);
    let next = given.into_iter().next().expect("one");
    assert_ne!(next, first.refresh);
    assert_eq!(identity.refresh(&next).await.status, 200);
}

#[tokio::test]
async fn a_refresh_that_meets_the_end_of_its_session_waits_for_it_and_gives_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let tokens = identity.logged_in(&identity.person().await).await;
    let mut db = region.database().await;
    let ending = db.transaction().await.expect("a transaction");
    let sql = "UPDATE sessions SET ended_at = now(), end_reason = 'logout'";
    assert_eq!(ending.execute(sql, &[]).await.expect("an update"), 1);
    let (service, token) = (identity.clone(), tokens.refresh.clone());
    let refreshing = tokio::spawn(async move { service.refresh(&token).await });
    region.waiting(1).await;
    ending.commit().await.expect("committed");
    let answer = refreshing.await.expect("no panic");
    assert_eq!(answer.problem(), unauthorized("session_ended"));
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_session_for_thief_and_owner() {
    let identity = Service::of_the_test_run();
    let stolen = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&stolen.refresh).await.tokens();
    let third = identity.refresh(&second.refresh).await.tokens();
    assert_eq!(
        identity.refresh(&stolen.refresh).await.problem(),
        unauthorized("session_ended")
    );
    for token in [&third.refresh, &second.refresh, &stolen.refresh] {
        assert_eq!(
            identity.refresh(token).await.problem(),
            unauthorized("session_ended")
        );
    }
    for token in [&third.access, &stolen.access] {
        assert_eq!(
            identity.me(token).await.problem(),
            unauthorized("session_ended")
        );
    }
    let sid = claims(&third.access)["sid"].as_str().map(str::to_owned);
    let sql = "SELECT end_reason FROM sessions WHERE session_id = $1::text::uuid";
    let row = identity.database().await.query_one(sql, &[&sid]).await;
    assert_eq!(row.expect("the session").get::<_, String>(0), "reuse");
}

#[tokio::test]
async fn of_many_old_refresh_tokens_at_once_one_is_told_of() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let stolen = identity.logged_in(&ada).await;
    let second = identity.refresh(&stolen.refresh).await.tokens();
    identity.refresh(&second.refresh).await.tokens();
    let mut refreshing = JoinSet::new();
    for _ in 0..20 {
        let (service, token) = (identity.clone(), stolen.refresh.clone());
        refreshing.spawn(async move { service.refresh(&token).await });
    }
    for answer in refreshing.join_all().await {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
    let own = identity.logged_in(&ada).await;
    let trail = identity.events(&own, "").await;
    let told = trail
        .iter()
        .filter(|it| it["kind"] == "refresh_token_reused");
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn the_predecessor_gets_the_same_token_for_thirty_seconds_and_then_ends_the_session() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    region.clock.advance(Duration::seconds(30));
    let again = identity.refresh(&first.refresh).await.tokens();
    assert_eq!(again.refresh, second.refresh);
    region.clock.advance(Duration::seconds(1));
    assert_eq!(
        identity.refresh(&first.refresh).await.problem(),
        unauthorized("session_ended")
    );
    assert_eq!(
        identity.refresh(&second.refresh).await.problem(),
        unauthorized("session_ended")
    );
}

#[tokio::test]
async fn a_session_ends_after_a_week_of_idleness_and_after_a_month_of_work() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let (idle, busy) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let mut held = busy.refresh;
    for _ in 0..4 {
        region.clock.advance(Duration::days(6));
        held = identity.refresh(&held).await.tokens().refresh;
    }
    region.clock.advance(Duration::days(4));
    let ended = identity.refresh(&idle.refresh).await;
    assert_eq!(ended.problem(), unauthorized("session_ended"));
    let answer = identity.refresh(&held).await;
    // What is left of the month counts, not another week.
    assert_eq!(answer.json()["refresh_expires_in"], 2 * 24 * 60 * 60);
    region.clock.advance(Duration::days(2));
    assert_eq!(
        identity.refresh(&answer.tokens().refresh).await.problem(),
        unauthorized("session_ended")
    );
}

#[tokio::test]
async fn nothing_but_a_genuine_refresh_token_is_taken() {
    let identity = Service::of_the_test_run();
    let tokens = identity.logged_in(&identity.person().await).await;
    let other = identity.logged_in(&identity.person().await).await;
    let (head, tail) = tokens.refresh.split_at(40);
    let (_, tail_of_other) = other.refresh.split_at(40);
    let changed = |text: &str| {
        let swapped = if text.ends_with('A') { 'Q' } else { 'A' };
        format!("{}{swapped}", &text[..text.len() - 1])
    };
    for (token, code) in [
        (tokens.access.clone(), "wrong_token_type"),
        ("kst_v_AAAA".to_owned(), "wrong_token_type"),
        (String::new(), "invalid_refresh_token"),
        ("kst_r_".to_owned(), "invalid_refresh_token"),
        (format!("{head}{tail_of_other}"), "invalid_refresh_token"),
        (changed(&tokens.refresh), "invalid_refresh_token"),
        (
            format!("{head}{}", changed(&tail[..20])),
            "invalid_refresh_token",
        ),
        (format!("{}=", tokens.refresh), "invalid_refresh_token"),
        (format!("{}A", tokens.refresh), "invalid_refresh_token"),
        (tokens.refresh.to_uppercase(), "invalid_refresh_token"),
    ] {
        let answer = identity.refresh(&token).await;
        assert_eq!(answer.problem(), unauthorized(code), "{token}");
        assert!(token.is_empty() || !answer.text.contains(&token));
    }
    // None of it harmed the session.
    assert_eq!(identity.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_opens_nothing_else() {
    let identity = Service::of_the_test_run();
    let tokens = identity.logged_in(&identity.person().await).await;
    for answer in [
        identity.me(&tokens.refresh).await,
        identity.logout(&tokens.refresh).await,
        identity.verify(&tokens.refresh).await,
    ] {
        assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
    }
}
