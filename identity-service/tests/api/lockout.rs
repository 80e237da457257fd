//! Guessing passwords, one after another and all at once.

use std::{
    collections::HashMap,
    time::{Duration as Pause, Instant},
};

use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::unauthorized,
    no_enumeration::Standing,
    replica::Region,
    service::{Answer, Service},
};

const FAILURES: usize = 5;
const LOCKED_FOR: Duration = Duration::minutes(15);

impl Service {
    /// Fails to log in as often as anybody may.
    pub(crate) async fn lock_out(&self, email: &str) {
        self.fail(email, FAILURES).await;
    }

    async fn fail(&self, email: &str, times: usize) {
        for _ in 0..times {
            let answer = self.login(email, OTHER_PASSWORD).await;
            assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
        }
    }

    /// Logins at once, and how often each status was answered.
    async fn at_once(&self, attempts: Vec<(String, &'static str)>) -> HashMap<u16, usize> {
        let mut requests = JoinSet::new();
        for (email, password) in attempts {
            let identity = self.clone();
            requests.spawn(async move { identity.login(&email, password).await.status });
        }
        let mut answers = HashMap::new();
        for status in requests.join_all().await {
            *answers.entry(status).or_default() += 1;
        }
        answers
    }
}

/// What a locked address answers to everything.
pub(crate) fn locked(answer: &Answer) -> bool {
    answer.status == 429 && answer.problem().1 == "too_many_attempts"
}

#[tokio::test]
async fn a_hundred_guesses_at_once_are_five_whether_or_not_there_is_an_account() {
    // A hashing queue of its own, which nobody else fills.
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for standing in Standing::ALL {
        let email = standing.address(identity).await;
        let answers = identity.at_once(vec![(email, OTHER_PASSWORD); 100]).await;
        assert_eq!(
            answers,
            HashMap::from([(401, 5), (429, 95)]),
            "{standing:?}"
        );
    }
}

#[tokio::test]
async fn a_right_guess_among_many_at_once_gives_the_others_no_more_than_five_again() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    for round in 0..5 {
        let mut attempts = vec![(ada.email.clone(), OTHER_PASSWORD); 60];
        attempts.insert(round, (ada.email.clone(), PASSWORD));
        let answers = identity.at_once(attempts).await;
        let count = |status| answers.get(&status).copied().unwrap_or_default();
        // At most four come before the right one, and five after it has cleared the count.
        assert!(count(401) <= 9 && count(200) <= 1, "{answers:?}");
        assert_eq!(count(401) + count(200) + count(429), 61, "{answers:?}");
        region.clock.advance(LOCKED_FOR);
    }
}

#[tokio::test]
async fn while_locked_every_password_for_every_address_is_answered_with_the_same_bytes() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let mut seen = Vec::new();
    for standing in Standing::ALL {
        let email = standing.address(identity).await;
        identity.lock_out(&email).await;
        let (wrong, right) = (
            identity.login(&email, OTHER_PASSWORD).await,
            identity.login(&email, PASSWORD).await,
        );
        assert!(locked(&wrong), "{standing:?}: {}", wrong.text);
        assert_eq!(wrong.header("retry-after"), Some("900"));
        seen.extend([wrong.seen(), right.seen()]);
    }
    let no_address = "no address";
    identity.lock_out(no_address).await;
    seen.push(identity.login(no_address, PASSWORD).await.seen());
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
}

#[tokio::test]
async fn a_lock_lasts_a_quarter_of_an_hour_whatever_is_tried_meanwhile() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    identity.lock_out(&ada.email).await;
    for _ in 0..3 {
        region.clock.advance(Duration::minutes(4));
        assert!(locked(&identity.login(&ada.email, PASSWORD).await));
    }
    region.clock.advance(Duration::seconds(179));
    let answer = identity.login(&ada.email, PASSWORD).await;
    assert!(locked(&answer));
    assert_eq!(answer.header("retry-after"), Some("1"));
    region.clock.advance(Duration::seconds(1));
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn fewer_failures_are_forgotten_by_a_success_or_after_a_quarter_of_an_hour() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    identity.fail(&ada.email, FAILURES - 1).await;
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
    identity.fail(&ada.email, FAILURES - 1).await;
    region.clock.advance(LOCKED_FOR);
    identity.fail(&ada.email, FAILURES - 1).await;
    region.clock.advance(LOCKED_FOR - Duration::seconds(1));
    identity.fail(&ada.email, 1).await;
    assert!(locked(&identity.login(&ada.email, PASSWORD).await));
}

#[tokio::test]
async fn the_right_password_of_a_disabled_account_is_a_failure_like_any_other() {
    let identity = Service::of_the_test_run();
    let email = Standing::Disabled.address(&identity).await;
    for _ in 0..FAILURES {
        assert!(!identity.logs_in(&email, PASSWORD).await);
    }
    assert!(locked(&identity.login(&email, PASSWORD).await));
}

#[tokio::test]
async fn no_spelling_of_an_address_escapes_its_lock_and_no_other_address_shares_it() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    identity.lock_out(&ada.email).await;
    for spelling in [ada.email.to_uppercase(), format!("  {}\t", ada.email)] {
        assert!(
            locked(&identity.login(&spelling, PASSWORD).await),
            "{spelling}"
        );
    }
    let eve = identity.person().await;
    assert!(identity.logs_in(&eve.email, PASSWORD).await);
}

#[tokio::test]
async fn a_service_that_starts_later_knows_the_lock() {
    let region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    first.service.lock_out(&ada.email).await;
    drop(first);
    let second = region.start().await;
    assert!(locked(&second.service.login(&ada.email, PASSWORD).await));
}

#[tokio::test]
async fn what_is_over_is_removed() {
    let region = Region::new().await;
    let replica = region.start().await;
    replica.service.lock_out(&somebody()).await;
    assert_eq!(replica.service.count("lockouts").await, 1);
    // Not the clock: the vault takes no token of a service that is ahead of it.
    let earlier = "UPDATE lockouts SET over_at = over_at - interval '15 minutes'";
    let database = replica.service.database().await;
    database.execute(earlier, &[]).await.expect("the row");
    // It looks as soon as it starts.
    let other = region.start().await;
    let gone = async || match other.service.count("lockouts").await {
        0 => Ok(()),
        rows => Err(rows),
    };
    let limit = crate::service::PATIENCE;
    stack::until("the row to go", limit, gone)
        .await
        .expect("gone");
}

#[tokio::test]
async fn nothing_is_hashed_while_locked() {
    let mut region = Region::new().await;
    let cheap = region.start().await;
    let ada = cheap.service.person().await;
    cheap.service.lock_out(&ada.email).await;
    // About four seconds of a core for each compare, if there were any.
    region.set("BCRYPT_COST", "16");
    let dear = region.start().await;
    let begun = Instant::now();
    assert!(locked(&dear.service.login(&ada.email, PASSWORD).await));
    assert!(
        begun.elapsed() < Pause::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn what_was_never_compared_for_want_of_time_is_not_counted() {
    let region = Region::with(&[("BCRYPT_COST", "10")]).await;
    let replica = region.start().await;
    let attempts = (0..100).map(|_| (somebody(), PASSWORD)).collect();
    let answers = replica.service.at_once(attempts).await;
    let count = |status| answers.get(&status).copied().unwrap_or_default();
    assert!(count(503) > 0, "{answers:?}");
    assert_eq!(count(401) + count(503), 100, "{answers:?}");
    let sql = "SELECT sum(attempts)::bigint FROM lockouts";
    let row = replica.service.database().await.query_one(sql, &[]).await;
    let counted: i64 = row.expect("a sum").get(0);
    assert_eq!(usize::try_from(counted), Ok(count(401)));
}
